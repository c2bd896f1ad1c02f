"""A scheduler along the timesteps that a prior walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autopipe.pipeline.loop import accepted_options


@dataclass(frozen=True)
class Walk:
    """A scheduler that is told in each step which timestep comes next, if it wants to know."""

    scheduler: Any
    timesteps: Tensor

    @property
    def order(self) -> int:
        """Timesteps for each step."""
        return int(self.scheduler.order)

    def step(self, prediction: Tensor, timestep: Tensor, sample: Tensor, **options: Any) -> Any:
        """As of the scheduler."""
        later = self.timesteps[self.timesteps < timestep]
        coming = later[0] if len(later) else None
        options |= accepted_options(self.scheduler, prev_timestep=coming)
        return self.scheduler.step(prediction, timestep, sample, **options)
