"""Noise of a Brownian path: standard, the same for a seed, and refused without its package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe.errors import MissingPackageError, SchedulerError
from autopipe_components.schedulers.brownian import BrownianNoise
from autopipe_components.schedulers.dpm_solver_sde import DPMSolverSDEScheduler
from autopipe_components.schedulers.edm.cosine_dpm_solver_multistep import (
    CosineDPMSolverMultistepScheduler,
)

BOTH: list[Any] = [DPMSolverSDEScheduler, CosineDPMSolverMultistepScheduler]


def smooth(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return torch.tanh(sample + torch.sin(timestep.float() / 90))


def noise(shape: tuple[int, ...] = (4000,), seed: Any = 1) -> BrownianNoise:
    return BrownianNoise(None, torch.zeros(shape), 0.1, 14.0, seed)


def test_noise_is_standard_and_that_of_parts_adds_up() -> None:
    path = noise()
    high, middle, low = (torch.tensor(level) for level in (9.0, 4.0, 1.0))
    whole, upper, lower = path(high, low), path(high, middle), path(middle, low)
    for one in (whole, upper, lower):
        assert float(one.mean()) == pytest.approx(0, abs=0.1)
        assert float(one.std()) == pytest.approx(1, abs=0.1)
    joined = (upper * 5**0.5 + lower * 3**0.5) / 8**0.5
    torch.testing.assert_close(joined, whole, atol=1e-4, rtol=0)


def test_a_sample_has_its_path_whatever_the_batch() -> None:
    high, low = torch.tensor(9.0), torch.tensor(1.0)
    both, alone = noise((2, 5), [3, 4]), noise((1, 5), [4])
    assert torch.equal(both(high, low)[1], alone(high, low)[0])


@pytest.mark.parametrize("scheduler", BOTH)
def test_a_generator_decides_the_noise(scheduler: Any, walk: Callable[..., torch.Tensor]) -> None:
    found = [
        walk(scheduler(), smooth, steps=4, generator=torch.Generator().manual_seed(seed))
        for seed in (5, 5, 6)
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_seed_of_the_config_comes_first(walk: Callable[..., torch.Tensor]) -> None:
    found = [
        walk(
            DPMSolverSDEScheduler(noise_sampler_seed=9),
            smooth,
            steps=4,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (5, 6)
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("scheduler", BOTH)
def test_without_its_package_a_checkpoint_opens_and_a_call_says_what_to_install(
    scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchsde", None)
    made = scheduler()
    with pytest.raises(MissingPackageError, match="pip install torchsde"):
        made.set_timesteps(4)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.1, float("inf")), (2.0, 1.0)])
def test_levels_that_no_path_can_have(ends: tuple[float, float]) -> None:
    with pytest.raises(SchedulerError, match="noise levels"):
        BrownianNoise(None, torch.zeros(3), *ends, 1)
