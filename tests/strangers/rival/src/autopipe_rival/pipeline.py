"""Dots from noise, made by the U-Net that all families share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe import DiffusionPipeline, ImagePipelineOutput
from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import denoise
from autopipe.utils import pt_to_pil
from autopipe_components.noise import randn_tensor


class RivalPipeline(DiffusionPipeline):
    """Draws dots."""

    unet: Any

    def __init__(self, unet: Network, scheduler: Scheduler) -> None:
        self.register_modules(unet=unet, scheduler=scheduler)

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        num_inference_steps: int = 4,
        generator: torch.Generator | list[torch.Generator] | None = None,
    ) -> ImagePipelineOutput:
        """Draw `batch_size` pictures."""
        if batch_size < 1 or num_inference_steps < 1:
            raise ArgumentError("give 1 or more pictures and steps")
        size = self.unet.config.sample_size
        shape = (batch_size, 3, size, size)
        tensors = {"latents": randn_tensor(shape, generator, self._execution_device, self.dtype)}
        told = torch.zeros(batch_size, 1, 8, device=self._execution_device, dtype=self.dtype)
        self.scheduler.set_timesteps(num_inference_steps, self._execution_device)

        def predict(step: int, timestep: Tensor) -> Tensor:
            seen: Tensor = self.unet(tensors["latents"], timestep, told, return_dict=False)[0]
            return seen

        drawn = denoise(self, tensors, predict, timesteps=self.scheduler.timesteps)
        return ImagePipelineOutput(pt_to_pil(drawn))


class ShapesPipeline(RivalPipeline):
    """The name of another's pipeline. It serves no task."""
