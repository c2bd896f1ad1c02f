"""The DPM-Solvers: orders, noise of the SDE, custom schedules, refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.dpm_solver_multistep import DPMSolverMultistepScheduler
from autopipe_components.schedulers.dpm_solver_singlestep import DPMSolverSinglestepScheduler

MULTI, SINGLE = DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler
BOTH = [MULTI, SINGLE]


def noise(seed: int, shape: tuple[int, ...] = (2, 3, 4, 4)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("solver", BOTH)
def test_the_sde_keeps_the_variance_of_the_process(solver: type, order: int) -> None:
    """With the clean sample known, every step has the noise level that the schedule says."""
    scheduler = solver(
        algorithm_type="sde-dpmsolver++",
        solver_order=order,
        final_sigmas_type="sigma_min",
        prediction_type="sample",
    )
    scheduler.set_timesteps(6)
    clean, x = torch.full((1, 1, 200, 200), 0.3), noise(0, (1, 1, 200, 200))
    generator = torch.Generator().manual_seed(1)
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(clean, t, x, generator=generator).prev_sample
        sigma = float(scheduler.sigmas[i + 1])
        alpha = 1 / math.sqrt(1 + sigma**2)
        # 40,000 draws: the deviation is known to 1 / sqrt(80,000) = 0.35 %; four of these.
        assert float((x - alpha * clean).std()) == pytest.approx(sigma * alpha, rel=0.015)


@pytest.mark.parametrize("solver", BOTH)
def test_the_sde_draws_at_every_step_and_the_ode_at_none(solver: type) -> None:
    for algorithm, draws in (("sde-dpmsolver++", True), ("dpmsolver++", False)):
        scheduler, x = solver(algorithm_type=algorithm), noise(0)
        scheduler.set_timesteps(4)
        generator = torch.Generator().manual_seed(1)
        for t in scheduler.timesteps:
            before = generator.get_state()
            x = scheduler.step(torch.tanh(x), t, x, generator=generator).prev_sample
            assert torch.equal(before, generator.get_state()) != draws


def test_the_third_order_of_the_noise_sde_runs_where_diffusers_has_none() -> None:
    scheduler, x = (
        MULTI(algorithm_type="sde-dpmsolver", solver_order=3, final_sigmas_type="sigma_min"),
        noise(0),
    )
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    for t in scheduler.timesteps:
        x = scheduler.step(0.9 * x, t, x, generator=generator).prev_sample
    assert torch.isfinite(x).all()


@pytest.mark.parametrize(
    ("order", "steps", "options", "expected"),
    [
        (1, 3, {}, [1, 1, 1]),
        (2, 5, {}, [1, 2, 1, 2, 1]),
        (2, 4, {}, [1, 2, 1, 1]),
        (3, 6, {}, [1, 2, 3, 1, 2, 1]),
        (3, 5, {"final_sigmas_type": "sigma_min"}, [1, 2, 3, 1, 2]),
        (2, 4, {"final_sigmas_type": "sigma_min"}, [1, 2, 1, 2]),
        (2, 4, {"final_sigmas_type": "sigma_min", "lower_order_final": True}, [1, 2, 1, 1]),
        (3, 1, {}, [1]),
    ],
)
def test_singlestep_groups(
    order: int, steps: int, options: dict[str, Any], expected: list[int]
) -> None:
    scheduler = SINGLE(solver_order=order, **options)
    scheduler.set_timesteps(steps)
    assert scheduler.order_list == expected
    assert scheduler.config.lower_order_final == options.get("lower_order_final", False)


def test_the_second_step_of_a_pair_starts_where_the_first_did() -> None:
    """Of the sample between them, only what the network says of it is used."""
    ends = []
    for moved in (0.0, 5.0):
        scheduler = SINGLE(prediction_type="sample", final_sigmas_type="sigma_min")
        scheduler.set_timesteps(4)
        first, second = scheduler.timesteps[:2]
        x = scheduler.step(noise(1), first, noise(0)).prev_sample + moved
        ends.append(scheduler.step(noise(2), second, x).prev_sample)
    assert torch.equal(*ends)


@pytest.mark.parametrize("solver", BOTH)
def test_a_learned_variance_is_cut_off_at_the_channels_of_the_sample(solver: type) -> None:
    x = noise(0, (1, 4, 4, 4))
    found = []
    for options, extra in (({}, 0), ({"variance_type": "learned_range"}, 4)):
        scheduler = solver(**options)
        scheduler.set_timesteps(5)
        output = torch.cat([torch.tanh(x), noise(1, (1, extra, 4, 4))], dim=1)
        found.append(scheduler.step(output, scheduler.timesteps[0], x).prev_sample)
    assert torch.equal(*found)


@pytest.mark.parametrize("solver", BOTH)
def test_lambda_is_clipped_below(solver: type) -> None:
    scheduler = solver(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-3.0)
    scheduler.set_timesteps(10)
    assert float(scheduler.sigmas[0]) <= math.exp(3.0)
    assert float(scheduler.sigmas[0]) > math.exp(2.9)


@pytest.mark.parametrize("solver", BOTH)
def test_an_unclipped_lambda_survives_saving(solver: type, tmp_path: Path) -> None:
    scheduler = solver(solver_order=3)
    scheduler.save_config(tmp_path)
    again = solver.from_config(solver.load_config(tmp_path))
    assert again.config.lambda_min_clipped == -math.inf
    assert again.config.solver_order == 3


@pytest.mark.parametrize("solver", BOTH)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver_order": 4}, "solver_order 4"),
        ({"algorithm_type": "dpm"}, "algorithm_type 'dpm'"),
        ({"algorithm_type": "dpmsolver"}, "sigma_min"),
        ({"final_sigmas_type": "one"}, "final_sigmas_type"),
        ({"variance_type": "large"}, "variance_type"),
    ],
)
def test_options(solver: type, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        solver(**options)


@pytest.mark.parametrize("solver", BOTH)
@pytest.mark.parametrize(
    ("options", "call", "message"),
    [
        ({}, {}, "none"),
        ({}, {"num_inference_steps": 3, "timesteps": [9, 5, 1]}, "exactly one"),
        ({}, {"timesteps": [5, 9]}, "descend"),
        ({}, {"timesteps": [1000, 9]}, "0 to 999"),
        ({"use_karras_sigmas": True}, {"timesteps": [9, 5]}, "use_karras_sigmas"),
        ({"use_flow_sigmas": True}, {"timesteps": [9, 5]}, "use_flow_sigmas"),
    ],
)
def test_schedules(
    solver: type, options: dict[str, Any], call: dict[str, Any], message: str
) -> None:
    with pytest.raises(SchedulerError, match=message):
        solver(**options).set_timesteps(**call)


def test_the_stochastic_noise_solver_is_multistep_alone() -> None:
    config = MULTI(algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min").config
    with pytest.raises(SchedulerError, match="sde-dpmsolver"):
        SINGLE.from_config(config)
