"""The schedule: a straight line from noise to a picture (rectified flow, arXiv 2209.03003)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from autopipe import BaseOutput, SchedulerMixin, register_to_config
from torch import Tensor


@dataclass
class DoodleSchedulerOutput(BaseOutput):
    """`prev_sample`: the sample after a step, (B, C, H, W)."""

    prev_sample: Tensor


class DoodleScheduler(SchedulerMixin):
    """Walks the line in equal steps, each as long as the velocity says (Euler's method)."""

    @register_to_config
    def __init__(self, num_train_timesteps: int = 1000) -> None:
        self.set_timesteps(num_train_timesteps)

    def set_timesteps(self, steps: int, device: torch.device | None = None) -> None:
        """Lay out `steps` steps; `timesteps` are in (0, num_train_timesteps], descending."""
        line = torch.linspace(1, 0, steps + 1, device=device)
        self.timesteps = line[:-1] * len(self)

    def time(self, timestep: Tensor) -> Tensor:
        """From 0, a picture, to 1, noise."""
        return timestep / len(self)

    def add_noise(self, picture: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """The sample that lies between `picture` and `noise` at `timestep`."""
        return torch.lerp(picture, noise, self.time(timestep).to(picture))

    def step(self, velocity: Tensor, timestep: Tensor, sample: Tensor) -> DoodleSchedulerOutput:
        """One step from `timestep` towards the picture."""
        return DoodleSchedulerOutput(sample - velocity / len(self.timesteps))
