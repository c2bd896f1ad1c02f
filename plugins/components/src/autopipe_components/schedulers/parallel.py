"""Alpha bars of a batch of timesteps, for steps that are taken in parallel."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import DiscreteScheduler
from .inputs import check_timesteps
from .step_index import broadcast_to


def neighbouring_bars(
    scheduler: DiscreteScheduler, timesteps: Tensor, steps: int, sample: Tensor
) -> tuple[Tensor, Tensor]:
    """Return alpha_bar at `timesteps` and one stride below, in float32, to multiply `sample`.

    Below the first timestep the sample is clean.

    Args:
        scheduler: the scheduler, with its training timesteps.
        timesteps: whole numbers, (B,).
        steps: the number of steps of the schedule, which gives the stride.
        sample: (B, ...).
    """
    bars = scheduler.alphas_cumprod
    now = check_timesteps(scheduler, timesteps, len(bars))
    before = now - scheduler.config.num_train_timesteps // steps
    lower = torch.where(before < 0, torch.tensor(1.0), bars[before.clamp(min=0)])
    wide = sample.float()
    return broadcast_to(bars[now], wide), broadcast_to(lower, wide)
