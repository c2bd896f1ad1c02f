"""Shapes from noise alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe import ImagePipelineOutput
from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe_components.images.kinds import check_output_type
from autopipe_components.noise import randn_tensor
from autopipe_components.steps.checks import check_generators, check_steps

from .steps import OUTPUT_TYPES, ShapesSteps


class ShapesPipeline(ShapesSteps):
    """Draws shapes, whatever they are."""

    def __init__(self, network: Network, scheduler: Scheduler) -> None:
        self.register_modules(network=network, scheduler=scheduler)

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        num_inference_steps: int = 4,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Draw `batch_size` pictures."""
        self.check()
        return self.draw_from_noise(torch.zeros(1, device=self._execution_device))

    def check(self) -> None:
        """Refuse what can't work, before any work. Raises `ArgumentError`."""
        if self.call.batch_size < 1:
            raise ArgumentError(f"batch_size is {self.call.batch_size}; give 1 or more")
        check_steps(self.call.num_inference_steps)
        check_generators(self.call.generator, self.call.batch_size)
        check_output_type(self.call.output_type, OUTPUT_TYPES)

    def draw_from_noise(self, told: Tensor) -> Any:
        """Pictures that begin as noise."""
        call, device = self.call, self._execution_device
        self.scheduler.set_timesteps(call.num_inference_steps, device)
        size = self.network.config.sample_size
        shape = (call.batch_size, 3, size, size)
        noise = randn_tensor(shape, call.generator, device, self.dtype)
        return self.draw(noise, self.scheduler.timesteps, told.to(noise), call.output_type)
