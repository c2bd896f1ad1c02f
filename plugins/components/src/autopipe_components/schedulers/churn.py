"""Noise that a step adds before it is taken (Karras et al. 2022, arXiv:2206.00364, algorithm 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Generator, Tensor

from ..noise import randn_tensor
from .inputs import check_number
from .prediction import Real

MAX_CHURN = math.sqrt(2) - 1
"""Upper limit of the increase of the noise level in a step, relative to that level."""


@dataclass(frozen=True)
class Churn:
    """How much noise is added: in all, between which levels, and its scale."""

    s_churn: float
    s_tmin: float
    s_tmax: float
    s_noise: float

    def raise_level(
        self,
        owner: object,
        sample: Tensor,
        sigma: Real,
        *,
        steps: int,
        like: Tensor,
        generator: Generator | list[Generator] | None,
    ) -> tuple[Tensor, Real]:
        """Return `sample` with noise added, and its new level.

        Args:
            owner: the scheduler, for messages.
            sample: the noisy sample.
            sigma: its level.
            steps: the number of steps of the schedule, over which the noise is spread.
            like: the tensor whose shape, device and dtype the noise has.
            generator: the source of the noise.

        Raises:
            SchedulerError: if one of the options is not a number.
        """
        for name, value in vars(self).items():
            check_number(owner, name, value)
        within = self.s_tmin <= sigma <= self.s_tmax
        share = min(self.s_churn / steps, MAX_CHURN) if within else 0
        raised = sigma * (1 + share)
        if share > 0:
            noise = randn_tensor(like.shape, generator, like.device, like.dtype)
            sample = sample + noise * self.s_noise * (raised**2 - sigma**2) ** 0.5
        return sample, raised
