"""Passes the next timestep of a prior's schedule to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autopipe.pipeline.loop import accepted_options


@dataclass(frozen=True)
class WithNextTimestep:
    """A scheduler whose `step` receives the next timestep as `prev_timestep`, if it takes that."""

    scheduler: Any
    timesteps: Tensor

    @property
    def order(self) -> int:
        """The number of timesteps per solver step."""
        return int(self.scheduler.order)

    def step(self, prediction: Tensor, timestep: Tensor, sample: Tensor, **options: Any) -> Any:
        """Call `step` of the scheduler, with the next timestep if it takes that."""
        later = self.timesteps[self.timesteps < timestep]
        coming = later[0] if len(later) else None
        options |= accepted_options(self.scheduler, prev_timestep=coming)
        return self.scheduler.step(prediction, timestep, sample, **options)
