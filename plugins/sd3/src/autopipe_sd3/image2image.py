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
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of

from .output import Result
from .prompts import GIVEN
from .steps import StableDiffusion3Steps


class StableDiffusion3Img2ImgPipeline(
    StableDiffusion3Steps, LatentImage2Image[Result], Image2Image
):
    """Image to image with Stable Diffusion 3."""

    check_inputs = checks_of("prompt prompt_2 prompt_3 height width strength", GIVEN)

    @pipeline_call
    def __call__(  # type: ignore[override]  # prompt_2 comes before image
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        prompt_3: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 0.6,
        num_inference_steps: int = 50,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 7.0,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        negative_prompt_3: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 256,
        mu: float | None = None,
        *,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards `prompt`.

        All other parameters are those of `StableDiffusion3Pipeline`.

        Args:
            height, width: in pixels; the image is resized to them, unless it is given as latents.
                The default is the training resolution of the transformer.
            image: the initial image: PIL, array or tensor, or a list; or latents (N, C, h, w). One
                per prompt, or fewer, which are then repeated.
            strength: the part of the steps to take, in [0, 1]; 1 ignores the image.
            latents: noised latents (B, C, h, w), in place of those of `image`.

        Returns:
            `StableDiffusion3PipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
