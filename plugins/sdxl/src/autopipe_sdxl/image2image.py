"""Image to image: changes an image towards a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Image2Image
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentImage2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of

from .image_steps import StableDiffusionXLImageSteps
from .methods import FURTHER, TEXTS_2
from .output import Result
from .sizes import Size


class StableDiffusionXLImg2ImgPipeline(
    StableDiffusionXLImageSteps, LatentImage2Image[Result], Image2Image
):
    """Image to image with Stable Diffusion XL, and the second half of a base + refiner chain."""

    check_inputs = checks_of(
        "prompt prompt_2 strength num_inference_steps callback_steps", f"{TEXTS_2} {FURTHER}"
    )

    @pipeline_call
    def __call__(  # type: ignore[override]  # prompt_2 comes before image
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 0.3,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        denoising_start: float | None = None,
        denoising_end: float | None = None,
        guidance_scale: float = 5.0,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        original_size: Size | None = None,
        crops_coords_top_left: Size = (0, 0),
        target_size: Size | None = None,
        negative_original_size: Size | None = None,
        negative_crops_coords_top_left: Size = (0, 0),
        negative_target_size: Size | None = None,
        aesthetic_score: float = 6.0,
        negative_aesthetic_score: float = 2.5,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards `prompt`.

        All other parameters are those of `StableDiffusionXLPipeline`.

        Args:
            image: the initial image: PIL, array or tensor, or a list; or latents (N, 4, h, w). One
                per prompt, or fewer, which are then repeated.
            strength: the part of the steps to take, in [0, 1]; 1 ignores the image. Not used with
                `denoising_start`.
            denoising_start: the part of the noise, in (0, 1), that another model has removed from
                the latents given as `image`; no noise is added to them.
            latents: noised latents (B, 4, h, w), in place of those of `image`.
            negative_original_size, negative_target_size: by default the positive ones.
            negative_crops_coords_top_left: used by U-Nets with an aesthetic score.
            aesthetic_score, negative_aesthetic_score: the score to aim for, and the score to avoid,
                for U-Nets with an aesthetic score.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
