"""Inpainting with a ControlNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, checks_of
from autopipe_sdxl.inpaint import StableDiffusionXLInpaintPipeline
from autopipe_sdxl.methods import POOLED, TEXTS_2
from autopipe_sdxl.output import Result
from autopipe_sdxl.sizes import Size

from ..control import ControlImage, Numbers
from ..methods import CONTROL, DEFAULTS, MaskedControlMethods
from .components import StableDiffusionXLControlNetOnImages


class StableDiffusionXLControlNetInpaintPipeline(
    MaskedControlMethods[Result],
    StableDiffusionXLControlNetOnImages,
    StableDiffusionXLInpaintPipeline,
):
    """Inpainting with Stable Diffusion XL and a ControlNet."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionXLInpaintPipeline._callback_tensor_inputs,
        *StableDiffusionXLControlNetOnImages.negative_halves,
        "control_image",
    )
    _guidance_scale = 5.0
    # As in the reference implementation, where only this task lacks it.
    _pooled_guesses = False

    check_inputs = checks_of(
        "prompt prompt_2 image mask_image strength num_inference_steps callback_steps output_type",
        f"{TEXTS_2} {IMAGE_PROMPTS} {POOLED} {CONTROL} {NAMES} padding_mask_crop",
        **DEFAULTS,
    )

    def _get_add_time_ids(  # type: ignore[override]  # without sizes of the negative half
        self,
        original_size: Size,
        crops_coords_top_left: Size,
        target_size: Size,
        aesthetic_score: float,
        negative_aesthetic_score: float,
        dtype: torch.dtype,
        text_encoder_projection_dim: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the size ids, with the sizes of the positive half for both halves."""
        return super()._get_add_time_ids(
            original_size,
            crops_coords_top_left,
            target_size,
            aesthetic_score,
            negative_aesthetic_score,
            None,
            crops_coords_top_left,
            None,
            dtype,
            text_encoder_projection_dim,
        )

    @pipeline_call
    def __call__(  # type: ignore[override]  # the control image comes after the mask
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        control_image: ControlImage | None = None,
        height: int | None = None,
        width: int | None = None,
        padding_mask_crop: int | None = None,
        strength: float = 0.9999,
        num_inference_steps: int = 50,
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
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        controlnet_conditioning_scale: Numbers = 1.0,
        guess_mode: bool = False,
        control_guidance_start: Numbers = 0.0,
        control_guidance_end: Numbers = 1.0,
        guidance_rescale: float = 0.0,
        original_size: Size | None = None,
        crops_coords_top_left: Size = (0, 0),
        target_size: Size | None = None,
        aesthetic_score: float = 6.0,
        negative_aesthetic_score: float = 2.5,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        paste_unmasked: bool = False,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image`, conditioned on the control image.

        All other parameters are those of `StableDiffusionXLInpaintPipeline`, and the parameters of
        the ControlNet are those of `StableDiffusionXLControlNetPipeline`. The negative half has the
        sizes and crops of the positive half.

        Args:
            control_image: the control image, which is resized and cropped like `image`.
            height, width: in pixels, rounded down to the VAE's factor; by default those of `image`.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
