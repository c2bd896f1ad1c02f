"""What the tests of schedulers share: a noisy start and a network that knows the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


def _walk(
    scheduler: Any,
    network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    steps: int = 6,
    shape: tuple[int, ...] = (2, 3, 4, 4),
    seed: int | None = 0,
    **step: Any,
) -> torch.Tensor:
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0 if seed is None else seed)
    sample = torch.randn(shape, generator=generator) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(network(scaled, timestep), timestep, sample, **step)[0]
    return sample


@pytest.fixture
def walk() -> Callable[..., torch.Tensor]:
    """`walk(scheduler, network)`: the last sample of a whole schedule from seeded noise."""
    return _walk
