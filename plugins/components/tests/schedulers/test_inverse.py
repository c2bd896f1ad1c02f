"""Inverse schedulers lead to the noise from which the forward ones draw the same picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddim_inverse import DDIMInverseScheduler
from autopipe_components.schedulers.dpm_solver_multistep import DPMSolverMultistepScheduler
from autopipe_components.schedulers.dpm_solver_multistep_inverse import (
    DPMSolverMultistepInverseScheduler,
)

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def along(scheduler: Any, sample: torch.Tensor, noise: torch.Tensor, steps: int) -> torch.Tensor:
    """The last sample, with a network that always predicts `noise`."""
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        sample = scheduler.step(noise, timestep, sample).prev_sample
    return sample


def test_ddim_and_back() -> None:
    picture, noise = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    inverse = DDIMInverseScheduler(**SD, clip_sample=False)
    forward = DDIMScheduler(**SD, clip_sample=False)
    noisy = along(inverse, picture, noise, 10)
    assert (noisy - picture).abs().max() > 0.3
    torch.testing.assert_close(along(forward, noisy, noise, 10), picture, atol=1e-4, rtol=0)
    assert inverse.timesteps.tolist() == forward.timesteps.tolist()[::-1]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("algorithm", ["dpmsolver", "sde-dpmsolver++"])
def test_dpm_solver_and_back(algorithm: str, order: int) -> None:
    """With a constant prediction of noise the flow has one line through each point."""
    picture, noise = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    inverse = DPMSolverMultistepInverseScheduler(**SD, algorithm_type=algorithm, solver_order=order)
    assert not inverse.config.algorithm_type.startswith("sde")
    many = 200
    noisy = along(inverse, picture, noise, many)
    options = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
    forward = DPMSolverMultistepScheduler(**SD, **options, solver_order=order)
    back = along(forward, noisy, noise, many)
    # A solver of the clean sample has an error that falls with the steps.
    limit = 1e-3 if algorithm == "dpmsolver" else 0.1
    assert (back - picture).abs().max() < limit


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_timesteps_ascend(spacing: str) -> None:
    made = DPMSolverMultistepInverseScheduler(**SD, timestep_spacing=spacing)
    made.set_timesteps(9)
    assert (made.timesteps.diff() > 0).all()
    assert (made.sigmas.diff() >= 0).all()
    assert len(made.sigmas) == len(made.timesteps) + 1


def test_a_spacing_without_a_stride_is_refused() -> None:
    made = DDIMInverseScheduler(timestep_spacing="linspace")
    with pytest.raises(SchedulerError, match="timestep_spacing"):
        made.set_timesteps(5)
