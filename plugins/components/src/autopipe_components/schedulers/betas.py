"""Beta schedules: the variance of the noise that each training timestep adds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.wording import shown

MAX_BETA = 0.999
"""Upper limit of a beta from an alpha-bar curve, so that no step removes the sample entirely."""

LAST_ALPHA_BAR = 2.0**-24
"""Replaces the zero at the end of a zero-SNR schedule where 1 / alpha_bar must be finite."""


def linear(count: int, start: float, end: float) -> Tensor:
    """Return evenly spaced betas (Ho et al. 2020, "Denoising Diffusion Probabilistic Models")."""
    return torch.linspace(start, end, count, dtype=torch.float32)


def scaled_linear(count: int, start: float, end: float) -> Tensor:
    """Return betas with evenly spaced square roots (Rombach et al. 2022, latent diffusion)."""
    return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float32) ** 2


def sigmoid(count: int, start: float, end: float) -> Tensor:
    """Return betas along a sigmoid from `start` to `end` (Xu et al. 2022, "GeoDiff")."""
    return torch.sigmoid(torch.linspace(-6, 6, count)) * (end - start) + start


def _cosine(t: float) -> float:
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2


def _exponential(t: float) -> float:
    return math.exp(-12.0 * t)


def _laplace(t: float) -> float:
    centred = 0.5 - t
    snr = math.exp(-0.5 * math.copysign(1, centred) * math.log(1 - 2 * abs(centred) + 1e-6))
    return math.sqrt(snr / (1 + snr))


def _of_alpha_bar(alpha_bar: Callable[[float], float]) -> Callable[[int, float, float], Tensor]:
    """Return the schedule whose cumulative product of `1 - beta` follows `alpha_bar(t)`.

    `t` is in [0, 1]. `start` and `end` are not used.
    """

    def betas(count: int, start: float, end: float) -> Tensor:
        curve = [alpha_bar(i / count) for i in range(count + 1)]
        return torch.tensor(
            [min(1 - after / before, MAX_BETA) for before, after in itertools.pairwise(curve)],
            dtype=torch.float32,
        )

    return betas


BETA_SCHEDULES: dict[str, Callable[[int, float, float], Tensor]] = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "squaredcos_cap_v2": _of_alpha_bar(_cosine),
    "sigmoid": sigmoid,
    "exp": _of_alpha_bar(_exponential),
    "laplace": _of_alpha_bar(_laplace),
}


def trained(owner: object, betas: np.ndarray | Sequence[float]) -> Tensor:
    """Return the betas of the config entry `trained_betas`.

    Raises:
        SchedulerError: if `betas` is not a list of numbers from 0 to 1.
    """
    try:
        values = torch.tensor(np.asarray(betas), dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        values = torch.empty(0)
    if values.ndim != 1 or not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise SchedulerError(
            f"{type(owner).__name__} can't have trained_betas={shown(betas)}; give a list of "
            f"numbers from 0 to 1"
        )
    return values


def rescale_zero_terminal_snr(betas: Tensor) -> Tensor:
    """Stretch `betas` so that the last timestep is pure noise.

    Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1.
    """
    root = torch.cumprod(1 - betas, dim=0).sqrt()
    first, last = root[0], root[-1]
    alpha_bar = ((root - last) * (first / (first - last))) ** 2
    alphas = torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return 1 - alphas
