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
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, TEXTS, checks_of
from autopipe_stable_diffusion.image2image import StableDiffusionImg2ImgPipeline
from autopipe_stable_diffusion.output import Result

from ..control import ControlImage, Numbers
from ..methods import CONTROL, DEFAULTS
from .components import StableDiffusionControlNet


class StableDiffusionControlNetImg2ImgPipeline(
    StableDiffusionControlNet, StableDiffusionImg2ImgPipeline
):
    """Image to image with Stable Diffusion 1.x and 2.x and a ControlNet."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionImg2ImgPipeline._callback_tensor_inputs,
        "control_image",
    )

    check_inputs = checks_of(
        "prompt image callback_steps",
        f"{TEXTS} {IMAGE_PROMPTS} {CONTROL} {NAMES}",
        **DEFAULTS,
    )

    @pipeline_call
    def __call__(  # type: ignore[override]
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        control_image: ControlImage | None = None,
        height: int | None = None,
        width: int | None = None,
        strength: float = 0.8,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        controlnet_conditioning_scale: Numbers = 0.8,
        guess_mode: bool = False,
        control_guidance_start: Numbers = 0.0,
        control_guidance_end: Numbers = 1.0,
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

        All other parameters are those of `StableDiffusionImg2ImgPipeline`, and
        the parameters of the ControlNet are those of `StableDiffusionControlNetPipeline`.

        Args:
            control_image: the control image, which is resized to the size of `image`.
            height, width: in pixels, rounded down to the VAE's factor; by default those of `image`.
            latents: noised latents (B, C, h, w) to start from, in place of the image.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
