"""The spacing of an inference schedule over the training timesteps.

Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", table 2.
All schedules descend.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from autopipe.errors import SchedulerError

SPACINGS = ("linspace", "leading", "trailing")


def linspace(count: int, end: int, dtype: DTypeLike = np.int64) -> np.ndarray:
    """Return `count` timesteps from `end - 1` to 0, inclusive; rounded for an integer `dtype`."""
    if np.issubdtype(dtype, np.integer):
        return np.linspace(0, end - 1, count).round()[::-1].astype(dtype)
    return np.linspace(0, end - 1, count, dtype=dtype)[::-1].copy()


def leading(count: int, end: int, steps_offset: int = 0, dtype: DTypeLike = np.int64) -> np.ndarray:
    """Return multiples of `end // count`, plus `steps_offset`; `end` itself is not among them."""
    if count > end:
        raise SchedulerError(
            f"leading timestep spacing can't make {count} different steps of {end} timesteps; "
            "use fewer steps or another timestep_spacing"
        )
    return (np.arange(count)[::-1] * (end // count) + steps_offset).astype(dtype)


def trailing(
    count: int, end: int, total: int | None = None, dtype: DTypeLike = np.int64
) -> np.ndarray:
    """Return timesteps down from `end - 1` in strides of `total / count`.

    `total` is `end` by default.
    """
    stride = (total or end) / count
    # By rounding, arange can have one more point at 0, which would be timestep -1.
    return (np.arange(end, 0, -stride).round()[:count] - 1).astype(dtype)


def spaced_timesteps(
    spacing: str,
    count: int,
    train_steps: int,
    steps_offset: int = 0,
    dtype: DTypeLike = np.int64,
) -> np.ndarray:
    """Return `count` descending timesteps below `train_steps`.

    Args:
        spacing: one of `SPACINGS`.
        count: the number of timesteps.
        train_steps: the number of training timesteps.
        steps_offset: added by leading spacing only.
        dtype: an integer type for solvers that index by timestep, float32 for those that
            interpolate.
    """
    if spacing == "linspace":
        return linspace(count, train_steps, dtype)
    if spacing == "leading":
        return leading(count, train_steps, steps_offset, dtype)
    return trailing(count, train_steps, dtype=dtype)
