"""Image to image with a ControlNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, checks_of
from autopipe_sdxl.image2image import StableDiffusionXLImg2ImgPipeline
from autopipe_sdxl.methods import POOLED, TEXTS_2
from autopipe_sdxl.output import Result
from autopipe_sdxl.sizes import Size

from ..control import ControlImage, Numbers
from ..methods import CONTROL, DEFAULTS
from .components import StableDiffusionXLControlNetOnImages


class StableDiffusionXLControlNetImg2ImgPipeline(
    StableDiffusionXLControlNetOnImages, StableDiffusionXLImg2ImgPipeline
):
    """Image to image with Stable Diffusion XL and a ControlNet."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionXLImg2ImgPipeline._callback_tensor_inputs,
        *StableDiffusionXLControlNetOnImages.negative_halves,
        "control_image",
    )

    check_inputs = checks_of(
        "prompt prompt_2 image strength num_inference_steps callback_steps",
        f"{TEXTS_2} {POOLED} {IMAGE_PROMPTS} {CONTROL} {NAMES}",
        **DEFAULTS,
    )

    @pipeline_call
    def __call__(  # type: ignore[override]  # the control image comes after the image
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        control_image: ControlImage | None = None,
        height: int | None = None,
        width: int | None = None,
        strength: float = 0.8,
        num_inference_steps: int = 50,
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
        controlnet_conditioning_scale: Numbers = 0.8,
        guess_mode: bool = False,
        control_guidance_start: Numbers = 0.0,
        control_guidance_end: Numbers = 1.0,
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
        """Change `image` towards `prompt`, conditioned on the control image.

        All other parameters are those of `StableDiffusionXLImg2ImgPipeline`, and
        the parameters of the ControlNet are those of `StableDiffusionXLControlNetPipeline`.

        Args:
            control_image: the control image, which is resized to the size of `image`.
            height, width: in pixels, rounded down to the VAE's factor; by default those of `image`.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
