"""Inpainting with Stable Diffusion in the onnx layout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autopipe.pipeline.loop import Tensors
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.inpaint import Inpainting
from autopipe_components.steps.timesteps import Schedule
from autopipe_stable_diffusion.inpaint import StableDiffusionInpaintPipeline

from .steps import OnnxStableDiffusionSteps


class OnnxStableDiffusionInpaintPipeline(OnnxStableDiffusionSteps, StableDiffusionInpaintPipeline):
    """Inpainting with Stable Diffusion 1.x and 2.x, run by ONNX Runtime.

    The U-Net must be one for inpainting, with 9 input channels, unless its file tells another
    number.
    """

    scheduler_corrections: ClassVar = {"steps_offset": 1, "clip_sample": False}
    unet_channels = 9

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
