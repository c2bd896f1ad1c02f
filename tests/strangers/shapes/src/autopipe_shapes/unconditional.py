"""Shapes from noise alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe_components.noise import randn_tensor

from .steps import ShapesSteps


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
        return_dict: bool = True,
    ) -> Any:
        """Draw `batch_size` pictures."""
        self.check(batch_size, num_inference_steps, generator, output_type)
        told = torch.zeros(1, device=self._execution_device, dtype=self.dtype)
        drawn = self.draw_from_noise(batch_size, num_inference_steps, generator, told)
        return self.returned(drawn, output_type, return_dict)

    def draw_from_noise(self, count: int, steps: int, generator: Any, told: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) that begin as noise."""
        self.scheduler.set_timesteps(steps, self._execution_device)
        size = self.network.config.sample_size
        shape = (count, 3, size, size)
        noise = randn_tensor(shape, generator, self._execution_device, self.dtype)
        return self.draw(noise, self.scheduler.timesteps, told)
