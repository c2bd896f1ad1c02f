"""UniPC: predictor, corrector, flows, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.dpm_solver_multistep import DPMSolverMultistepScheduler
from autopipe_components.schedulers.unipc_multistep import UniPCMultistepScheduler

FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def noise(seed: int) -> torch.Tensor:
    return torch.randn((2, 3, 4, 4), generator=torch.Generator().manual_seed(seed))


def run(scheduler: Any, steps: int) -> torch.Tensor:
    scheduler.set_timesteps(steps)
    x = noise(0)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.tanh(x), t, x).prev_sample
    return x


def test_without_corrector_bh2_is_the_dpm_solver() -> None:
    """UniP-2 with B(h) = exp(h) - 1 is DPM-Solver++(2M), as the paper says in section 3.3."""
    unipc = UniPCMultistepScheduler(disable_corrector=list(range(20)))
    dpm = DPMSolverMultistepScheduler()
    # The same coefficients, rounded in another order: float32.
    torch.testing.assert_close(run(unipc, 10), run(dpm, 10), rtol=1e-5, atol=1e-5)


def test_the_corrector_runs_on_the_steps_that_are_not_listed() -> None:
    runs = [
        run(UniPCMultistepScheduler(disable_corrector=listed), 6)
        for listed in ([], [0], list(range(6)))
    ]
    assert not torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[1], runs[2])


def test_a_copy_has_a_predictor_of_its_own() -> None:
    prototype = UniPCMultistepScheduler(solver_p=DPMSolverMultistepScheduler())
    first, second = prototype.copy(), prototype.copy()
    alone = run(prototype.copy(), 6)
    first.set_timesteps(6)
    second.set_timesteps(9)
    x = noise(0)
    for t in first.timesteps:
        x = first.step(torch.tanh(x), t, x).prev_sample
    assert torch.equal(x, alone)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_custom_sigmas_are_visited_after_the_shift(shift: float) -> None:
    scheduler = UniPCMultistepScheduler(**FLOW, flow_shift=shift)
    scheduler.set_timesteps(sigmas=[0.9, 0.5, 0.1])
    given = np.array([0.9, 0.5, 0.1])
    expected = [*(shift * given / (1 + (shift - 1) * given)), 0.0]
    assert scheduler.sigmas.tolist() == pytest.approx(expected, rel=1e-6)


def test_a_stretched_flow_ends_where_it_is_told() -> None:
    scheduler = UniPCMultistepScheduler(**FLOW, shift_terminal=0.2, final_sigmas_type="sigma_min")
    scheduler.set_timesteps(6)
    assert float(scheduler.sigmas[-2]) == pytest.approx(0.2, rel=1e-6)
    assert float(scheduler.sigmas[0]) == pytest.approx(1.0, abs=2e-6)


@pytest.mark.parametrize("order", [2, 3])
def test_an_order_that_is_kept_to_the_end_without_noise_still_ends(order: int) -> None:
    """There all predictions lie infinitely far back; only the newest counts."""
    x = run(UniPCMultistepScheduler(lower_order_final=False, solver_order=order), 6)
    assert torch.isfinite(x).all()


@pytest.mark.parametrize(
    ("options", "call", "message"),
    [
        ({"solver_type": "bh1"}, {"num_inference_steps": 5}, "solver_type='bh1'.*sigma_min"),
        ({"predict_x0": False}, {"num_inference_steps": 5}, "predict_x0=False.*sigma_min"),
        ({}, {}, "num_inference_steps or sigmas"),
        ({}, {"sigmas": [0.9, 0.5]}, "use_flow_sigmas=True"),
        ({**FLOW, "use_karras_sigmas": True}, {"sigmas": [0.9, 0.5]}, "no other kind"),
        (FLOW, {"sigmas": [0.5, 0.9]}, "descend"),
        (FLOW, {"sigmas": [1.5, 0.9]}, "of more than 0 and of at most 1"),
        (FLOW, {"sigmas": []}, "sigmas is empty"),
        ({**FLOW, "use_dynamic_shifting": True}, {"num_inference_steps": 5}, "needs mu"),
        ({**FLOW, "shift_terminal": 0.1}, {"num_inference_steps": 1}, "more steps"),
    ],
)
def test_schedules(options: dict[str, Any], call: dict[str, Any], message: str) -> None:
    scheduler = UniPCMultistepScheduler(**options)
    with pytest.raises(SchedulerError, match=message):
        scheduler.set_timesteps(**call)


def test_only_flows_have_a_terminal() -> None:
    with pytest.raises(SchedulerError, match="shift_terminal"):
        UniPCMultistepScheduler(shift_terminal=0.1)
