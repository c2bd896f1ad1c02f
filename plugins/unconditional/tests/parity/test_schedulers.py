"""The schedulers against the reference: schedules and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import (
    CMStochasticIterativeScheduler,
    IPNDMScheduler,
    KarrasVeScheduler,
    RePaintScheduler,
    ScoreSdeVeScheduler,
)

pytestmark = pytest.mark.parity

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
"""Of float32 after a few operations."""

SHAPE = (2, 3, 4, 4)


def noise(number: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize(
    "config", [{}, {"sigma_min": 0.05, "sigma_max": 50.0, "sampling_eps": 1e-3, "snr": 0.3}]
)
@pytest.mark.parametrize("steps", [1, 2, 11])
def test_score_sde(
    twin: Callable[[Any], Any], seed: Callable[[int], Any], config: Any, steps: int
) -> None:
    ours = ScoreSdeVeScheduler(**config)
    theirs = twin(ours)
    for one in (ours, theirs):
        one.set_timesteps(steps)
        one.set_sigmas(steps)
    for name in ("timesteps", "sigmas", "discrete_sigmas"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), **CLOSE)
    for timestep in ours.timesteps:
        found, expected = (
            [
                *one.step_pred(noise(1), timestep, noise(2), seed(3), return_dict=False),
                *one.step_correct(noise(1), noise(2), seed(4), return_dict=False),
            ]
            for one in (ours, theirs)
        )
        torch.testing.assert_close(found, expected, **CLOSE)
    levels = torch.tensor([0, steps - 1])
    noised = [one.add_noise(noise(1), noise(2), levels) for one in (ours, theirs)]
    torch.testing.assert_close(*noised, **CLOSE)


@pytest.mark.parametrize("config", [{}, {"s_churn": 5, "s_noise": 1.0, "s_max": 1e9}])
def test_karras(twin: Callable[[Any], Any], seed: Callable[[int], Any], config: Any) -> None:
    ours = KarrasVeScheduler(**config)
    theirs = twin(ours)
    for one in (ours, theirs):
        one.set_timesteps(7)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    torch.testing.assert_close(ours.schedule, theirs.schedule, **CLOSE)
    for sigma in ours.schedule[1:]:
        walked = []
        for one in (ours, theirs):
            sample, higher = one.add_noise_to_input(noise(1), sigma, seed(2))
            first = one.step(noise(3), higher, sigma / 2, sample)
            second = one.step_correct(
                noise(4), higher, sigma / 2, sample, first.prev_sample, first.derivative
            )
            walked.append([sample, *first.to_tuple(), *second.to_tuple()])
        # Clean samples are differences of large numbers.
        torch.testing.assert_close(*walked, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
@pytest.mark.parametrize("jumps", [(10, 10), (3, 2), (1, 1)])
def test_repaint(
    twin: Callable[[Any], Any], seed: Callable[[int], Any], schedule: str, jumps: tuple[int, int]
) -> None:
    ours = RePaintScheduler(beta_schedule=schedule, clip_sample=schedule == "linear")
    theirs = twin(ours)
    kept = (torch.arange(4) < 2).float().expand(2, 1, 4, 4)
    for one in (ours, theirs):
        one.set_timesteps(20, *jumps)
        one.eta = 0.4
    assert torch.equal(ours.timesteps, theirs.timesteps)
    for timestep in ours.timesteps.unique():
        found, expected = (
            [
                *one.step(noise(1), timestep, noise(2), noise(3), kept, seed(4), return_dict=False),
                one.undo_step(noise(1), timestep, seed(5)),
            ]
            for one in (ours, theirs)
        )
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def walked(scheduler: Any, generator: Any = None) -> torch.Tensor:
    """The last sample of a schedule, with a network that bends what it sees."""
    sample = noise(1) * scheduler.init_noise_sigma
    options = {} if generator is None else {"generator": generator}
    for timestep in scheduler.timesteps:
        seen = scheduler.scale_model_input(sample, timestep)
        output = torch.tanh(0.7 * seen + 0.1 * torch.sin(timestep.float()))
        sample = scheduler.step(output, timestep, sample, **options).prev_sample
    return sample


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 20])
@pytest.mark.parametrize(
    "config", [{}, {"num_train_timesteps": 30}, {"trained_betas": [0.9, 0.5, 0.3, 0.1, 0.0]}]
)
def test_ipndm(twin: Callable[[Any], Any], config: Any, steps: int) -> None:
    ours = IPNDMScheduler(**config)
    theirs = twin(ours)
    for one in (ours, theirs):
        one.set_timesteps(steps)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    torch.testing.assert_close(walked(ours), walked(theirs), **CLOSE)


@pytest.mark.parametrize(
    "schedule",
    [{"num_inference_steps": count} for count in (1, 2, 40)] + [{"timesteps": [22, 4, 0]}],
)
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_train_timesteps": 201, "sigma_min": 0.01, "s_noise": 1.01},
        {"clip_denoised": False, "rho": 5.0, "sigma_data": 1.0, "sigma_max": 20.0},
    ],
)
def test_consistency(
    twin: Callable[[Any], Any], seed: Callable[[int], Any], config: Any, schedule: Any
) -> None:
    ours = CMStochasticIterativeScheduler(**config)
    theirs = twin(ours)
    assert ours.init_noise_sigma == theirs.init_noise_sigma
    for one in (ours, theirs):
        one.set_timesteps(**schedule)
    assert torch.equal(ours.timesteps, theirs.timesteps.float())
    assert torch.equal(ours.sigmas, theirs.sigmas)
    found, expected = (walked(one, seed(2)) for one in (ours, theirs))
    torch.testing.assert_close(found, expected, **CLOSE)
    given = noise(1), noise(2), ours.timesteps[:1].repeat(2)
    if len(ours.timesteps) < 3:
        theirs.timesteps = theirs.timesteps.float()
        torch.testing.assert_close(ours.add_noise(*given), theirs.add_noise(*given), **CLOSE)
