"""EDM's preconditioning is what its paper says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.edm.cosine_dpm_solver_multistep import (
    CosineDPMSolverMultistepScheduler,
)
from autopipe_components.schedulers.edm.dpm_solver_multistep import EDMDPMSolverMultistepScheduler
from autopipe_components.schedulers.edm.euler import EDMEulerScheduler

ALL: list[Any] = [
    EDMEulerScheduler,
    EDMDPMSolverMultistepScheduler,
    CosineDPMSolverMultistepScheduler,
]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("schedule", ["karras", "exponential"])
@pytest.mark.parametrize("scheduler", ALL)
def test_a_network_that_knows_the_answer_is_believed(
    scheduler: Any, schedule: str, kind: str, walk: Callable[..., torch.Tensor]
) -> None:
    clean = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)
    made = scheduler(sigma_schedule=schedule, prediction_type=kind)
    data, sign = made.config.sigma_data, 1 if kind == "epsilon" else -1

    def network(scaled: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The output F of table 1, for which the preconditioned network gives the clean sample."""
        sigma = float(made.sigmas[made.step_index])
        spread = (sigma**2 + data**2) ** 0.5
        return sign * (clean - data**2 / spread**2 * scaled * spread) * spread / (sigma * data)

    found = walk(made, network, steps=8, shape=(1, 3, 4, 4))
    torch.testing.assert_close(found, clean, atol=1e-3, rtol=0)


@pytest.mark.parametrize("scheduler", ALL)
def test_inputs_have_unit_variance(scheduler: Any) -> None:
    made = scheduler(sigma_data=0.7)
    made.set_timesteps(5)
    sigma = made.sigmas[2]
    sample = torch.full((1, 3, 4, 4), float((sigma**2 + 0.7**2) ** 0.5))
    made.set_begin_index(2)
    scaled = made.scale_model_input(sample, made.timesteps[2])
    torch.testing.assert_close(scaled, torch.ones_like(scaled))
    torch.testing.assert_close(made.precondition_inputs(sample, sigma), scaled)


def test_timesteps_are_functions_of_the_level() -> None:
    made = EDMEulerScheduler(sigma_min=1.0, sigma_max=1.0)
    made.set_timesteps(2)
    assert made.timesteps.tolist() == [0.0, 0.0]
    cosine = CosineDPMSolverMultistepScheduler(sigma_min=1.0, sigma_max=1.0)
    assert cosine.timesteps[0] == 0.5


def test_places_are_those_between_the_highest_and_the_lowest_level() -> None:
    made = EDMEulerScheduler()
    made.set_timesteps(sigmas=[0.0, 1.0])
    assert made.sigmas.tolist() == pytest.approx([80.0, 0.002, 0.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EDMEulerScheduler(sigma_min=5.0, sigma_max=1.0), "in this order"),
        (lambda: EDMEulerScheduler(sigma_min=0.0), "at least"),
        (lambda: EDMEulerScheduler(rho=0.001), "rho"),
        (lambda: EDMEulerScheduler(prediction_type="sample"), "prediction_type"),
        (lambda: EDMEulerScheduler(sigma_schedule="linear"), "sigma_schedule"),
        (lambda: EDMEulerScheduler().set_timesteps(sigmas=[1.0, 0.0]), "ascend"),
        (lambda: EDMDPMSolverMultistepScheduler(algorithm_type="dpmsolver"), "algorithm_type"),
        (lambda: CosineDPMSolverMultistepScheduler(solver_order=3), "solver_order"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        call()
