"""Inpainting with Stable Diffusion in the onnx layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe.tasks import Inpaint
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentInpaint
from autopipe_components.steps.callbacks import OlderCallback, StepCallbacks
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.given import TEXTS, checks_of
from autopipe_components.steps.inpaint import Inpainting
from autopipe_components.steps.timesteps import Schedule
from autopipe_stable_diffusion.output import Result

from .steps import OnnxStableDiffusionSteps, Randomness


class OnnxStableDiffusionInpaintPipeline(OnnxStableDiffusionSteps, LatentInpaint[Result], Inpaint):
    """Inpainting with Stable Diffusion 1.x and 2.x, run by ONNX Runtime.

    The U-Net must be one for inpainting, with 9 input channels, unless its file tells another
    number.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *OnnxStableDiffusionSteps._callback_tensor_inputs,
        "mask",
        "masked_image_latents",
    )
    size_multiple = None
    unet_channels = 9

    check_inputs = checks_of("prompt height width callback_steps", TEXTS)

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        height: int | None = 512,
        width: int | None = 512,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Randomness = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        *,
        masked_image_latents: Tensor | None = None,
        padding_mask_crop: int | None = None,
        strength: float = 1.0,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        paste_unmasked: bool = False,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image` with `prompt`.

        All other parameters are those of `OnnxStableDiffusionPipeline`.

        Args:
            image, mask_image, masked_image_latents, padding_mask_crop, strength, paste_unmasked: as
                for `StableDiffusionInpaintPipeline`.
            height, width: in pixels, multiples of the VAE's factor; the image is resized to them.
                None for the training resolution of the U-Net.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    def begin_call(self) -> int:
        batch_size = super().begin_call()
        self.start_from_noise(batch_size)
        return batch_size

    def repaint(
        self, tensors: Tensors, start: Inpainting, schedule: Schedule, callbacks: StepCallbacks
    ) -> Tensor:
        mask = self.call.mask_image
        if isinstance(mask, Image.Image) and self.call.padding_mask_crop is None:
            start = replace(start, mask=_small(mask, start.mask))
        return super().repaint(tensors, start, schedule, callbacks)


def _small(mask: Any, like: Tensor) -> Tensor:
    """Return a mask at the size of the latents, resized by PIL as in diffusers: from centres."""
    height, width = like.shape[-2:]
    small = np.asarray(mask.resize((width, height), Image.Resampling.NEAREST).convert("L"))
    return torch.from_numpy(small >= 127.5).to(like).expand_as(like)
