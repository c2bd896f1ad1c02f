"""SA-Solver: its ODE, its noise, and what can't be saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.sa_solver import SASolverScheduler, usual_tau

CLEAN = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)


def known(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return CLEAN


@pytest.mark.parametrize("tau", [None, lambda timestep: 0.0, lambda timestep: 0.7])
def test_a_network_that_knows_the_answer_is_believed(
    tau: Any, walk: Callable[..., torch.Tensor]
) -> None:
    made = SASolverScheduler(prediction_type="sample", tau_func=tau)
    found = walk(made, known, steps=8, shape=(1, 3, 4, 4))
    # The schedule ends at the lowest level in training, 0.01.
    torch.testing.assert_close(found, CLEAN, atol=0.05, rtol=0)


def test_tau_decides_whether_the_noise_counts(walk: Callable[..., torch.Tensor]) -> None:
    def smooth(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return torch.tanh(sample)

    for tau, alike in ((lambda _: 0.0, True), (lambda _: 1.0, False)):
        found = [
            walk(
                SASolverScheduler(tau_func=tau),
                smooth,
                generator=torch.Generator().manual_seed(seed),
            )
            for seed in (1, 2)
        ]
        assert torch.equal(*found) == alike


def test_noise_is_added_in_the_middle_of_the_schedule() -> None:
    assert [usual_tau(t) for t in (0, 199, 200, 500, 800, 801)] == [0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize("tau", [lambda _: "much", lambda _: -1.0, lambda: 0.0])
def test_a_tau_that_is_none(tau: Any) -> None:
    made = SASolverScheduler(tau_func=tau)
    made.set_timesteps(4)
    with pytest.raises(SchedulerError, match="tau_func"):
        made.step(CLEAN, made.timesteps[0], CLEAN)


def test_a_function_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="pass tau_func to from_pretrained"):
        SASolverScheduler(tau_func=usual_tau).save_pretrained(tmp_path)
    SASolverScheduler().save_pretrained(tmp_path)
    assert SASolverScheduler.from_pretrained(tmp_path, tau_func=usual_tau).tau_func is usual_tau
