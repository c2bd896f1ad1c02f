"""What the four solvers share: exactness, convergence, schedules, histories of their own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.deis_multistep import DEISMultistepScheduler
from autopipe_components.schedulers.dpm_solver_multistep import DPMSolverMultistepScheduler
from autopipe_components.schedulers.dpm_solver_singlestep import DPMSolverSinglestepScheduler
from autopipe_components.schedulers.unipc_multistep import UniPCMultistepScheduler

MULTI, SINGLE = DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler
UNIPC, DEIS = UniPCMultistepScheduler, DEISMultistepScheduler
SOLVERS = [MULTI, SINGLE, UNIPC, DEIS]

TO_THE_END = {MULTI: "sigma_min", SINGLE: "sigma_min", UNIPC: "sigma_min"}
"""DEIS ends at the lowest trained noise level anyhow."""


def make(solver: type, **options: Any) -> Any:
    """A solver whose schedule ends with some noise."""
    if solver in TO_THE_END:
        options.setdefault("final_sigmas_type", TO_THE_END[solver])
    return solver(**options)


def levels(scheduler: Any) -> list[tuple[float, float]]:
    """The weights of clean sample and noise along the schedule."""
    return [(1 / math.sqrt(s * s + 1), s / math.sqrt(s * s + 1)) for s in scheduler.sigmas.tolist()]


def noise(seed: int, shape: tuple[int, ...] = (2, 3, 4, 4)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_perfect_network_is_followed_exactly(solver: type, kind: str, order: int) -> None:
    scheduler = make(solver, solver_order=order, prediction_type=kind)
    scheduler.set_timesteps(9)
    scheduler.sigmas = scheduler.sigmas.double()
    clean, drawn = noise(1).double(), noise(2).double()
    weights = levels(scheduler)
    x = weights[0][0] * clean + weights[0][1] * drawn
    for i, t in enumerate(scheduler.timesteps):
        alpha, sigma = weights[i]
        output = {"epsilon": drawn, "sample": clean, "v_prediction": alpha * drawn - sigma * clean}
        x = scheduler.step(output[kind], t, x).prev_sample
        alpha, sigma = weights[i + 1]
        # Float64 rounding, divided by the first alpha of 1/157 in every prediction.
        torch.testing.assert_close(x, alpha * clean + sigma * drawn, rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", [MULTI, SINGLE, UNIPC])
def test_ends_at_the_predicted_sample(solver: type) -> None:
    scheduler, clean = solver(prediction_type="sample"), noise(1)
    scheduler.set_timesteps(6)
    x = noise(2)
    for t in scheduler.timesteps:
        x = scheduler.step(clean, t, x).prev_sample
    torch.testing.assert_close(x, clean)


def error_of(scheduler: Any, steps: int) -> float:
    """How far a run ends from the solution of a linear ODE, relative to it.

    Of normally distributed data (deviation 0.5), the best prediction is linear in x, and x along
    the ODE keeps its place in units of its own deviation.
    """
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()

    def deviation(alpha: float, sigma: float) -> float:
        return math.sqrt((0.5 * alpha) ** 2 + sigma**2)

    weights = levels(scheduler)
    scheduler.set_begin_index(0)
    x = torch.ones(1, 1, dtype=torch.float64)
    for (alpha, sigma), t in zip(weights, scheduler.timesteps):
        x = scheduler.step(x * sigma / deviation(alpha, sigma) ** 2, t, x).prev_sample
    exact = deviation(*weights[-1]) / deviation(*weights[0])
    return abs(float(x) / exact - 1)


CONVERGENCE = [
    (MULTI, {"solver_order": 1}, 1),
    (MULTI, {"solver_order": 2}, 2),
    (MULTI, {"solver_order": 2, "solver_type": "heun"}, 2),
    (SINGLE, {"solver_order": 1}, 1),
    (SINGLE, {"solver_order": 2}, 2),
    (SINGLE, {"solver_order": 3, "solver_type": "heun"}, 3),
    (UNIPC, {"solver_order": 1, "disable_corrector": range(999)}, 1),
    (UNIPC, {"solver_order": 1}, 2),
    (UNIPC, {"solver_order": 2}, 3),
    (DEIS, {"solver_order": 1}, 1),
    (DEIS, {"solver_order": 2}, 2),
    (DEIS, {"solver_order": 3}, 3),
]


@pytest.mark.parametrize(("solver", "options", "order"), CONVERGENCE)
def test_half_the_step_divides_the_error_by_two_to_the_order(
    solver: type, options: dict[str, Any], order: int
) -> None:
    options = {"use_exponential_sigmas": True, "lower_order_final": False, **options}
    coarse, fine = (error_of(make(solver, **options), n) for n in (60, 120))
    # What is left of the next term of the error is a tenth of the order at these steps.
    assert math.log2(coarse / fine) > order - 0.15


@pytest.mark.parametrize("solver", SOLVERS)
def test_copies_interleave_without_touching_each_other(solver: type) -> None:
    prototype = solver(solver_order=3)

    def run(scheduler: Any, steps: int, x: Tensor) -> Any:
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            x = scheduler.step(torch.tanh(x), t, x).prev_sample
            yield x

    alone = [list(run(prototype.copy(), n, noise(n)))[-1] for n in (7, 11)]
    mixed = [run(prototype.copy(), n, noise(n)) for n in (7, 11)]
    last: list[Any] = [None, None]
    for _ in range(11):
        for i, samples in enumerate(mixed):
            last[i] = next(samples, last[i])
    assert torch.equal(last[0], alone[0])
    assert torch.equal(last[1], alone[1])
    assert prototype.num_inference_steps is None
    assert prototype.step_index is None


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_copy_in_the_middle_of_a_run_goes_on_by_itself(solver: type) -> None:
    first, x = solver(solver_order=3), noise(0)
    first.set_timesteps(8)
    for t in first.timesteps[:4]:
        x = first.step(torch.tanh(x), t, x).prev_sample
    second, y = first.copy(), x
    for t in first.timesteps[4:]:
        x = first.step(torch.tanh(x), t, x).prev_sample
    for t in second.timesteps[4:]:
        y = second.step(torch.tanh(y), t, y).prev_sample
    assert torch.equal(x, y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_set_timesteps_forgets_the_run_before(solver: type) -> None:
    scheduler = solver(solver_order=3)
    found = []
    for _ in range(2):
        scheduler.set_timesteps(5)
        x = noise(0)
        for t in scheduler.timesteps:
            x = scheduler.step(torch.tanh(x), t, x).prev_sample
        found.append(x)
    assert torch.equal(*found)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_timesteps_that_coincide_do_no_harm(solver: type, order: int) -> None:
    """As many steps as there are timesteps visit one of them twice."""
    scheduler, x = solver(solver_order=order, num_train_timesteps=40), noise(0)
    scheduler.set_timesteps(40)
    assert len(set(scheduler.timesteps.tolist())) < 40
    for t in scheduler.timesteps:
        x = scheduler.step(0.9 * x, t, x).prev_sample
    assert torch.isfinite(x).all()


def test_first_timesteps_that_round_alike_are_all_taken() -> None:
    scheduler, x = MULTI(use_karras_sigmas=True, beta_schedule="squaredcos_cap_v2"), noise(0)
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0] == scheduler.timesteps[1]
    for t in scheduler.timesteps:
        x = scheduler.step(x, t, x).prev_sample
    assert scheduler.step_index == 10
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_noise_before_a_schedule_is_that_of_training(solver: type) -> None:
    scheduler = solver()
    t = torch.tensor([0, 999])
    noised = scheduler.add_noise(torch.ones(2, 1), torch.zeros(2, 1), t)
    expected = scheduler.alphas_cumprod[t].sqrt().unsqueeze(1)
    torch.testing.assert_close(noised, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("solver", SOLVERS)
def test_low_precision_stays_near_float32(solver: type, dtype: torch.dtype) -> None:
    found = []
    for kind in (torch.float32, dtype):
        scheduler, x = solver(beta_schedule="scaled_linear"), noise(0).to(kind)
        scheduler.set_timesteps(10)
        for t in scheduler.timesteps:
            x = scheduler.step(0.9 * x, t, x).prev_sample
            assert x.dtype == kind
        found.append(x.float())
    # Ten steps that each round to 8 bits, amplified by 1/alpha = 15 at the first.
    torch.testing.assert_close(*found, rtol=0.05, atol=0.15)


@pytest.mark.parametrize(
    "options",
    [
        {"solver_order": 0},
        {"solver_type": "bh3"},
        {"prediction_type": "noise"},
        {"prediction_type": "flow_prediction"},
        {"beta_schedule": "cosine"},
        {"time_shift_type": "cubic"},
        {"use_karras_sigmas": True, "use_beta_sigmas": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_bad_options_fail_in_the_constructor(solver: type, options: dict[str, Any]) -> None:
    with pytest.raises(SchedulerError, match=next(iter(options))):
        solver(**options)


@pytest.mark.parametrize("solver", SOLVERS)
def test_calls_out_of_order_say_what_to_do(solver: type) -> None:
    scheduler, x = solver(), noise(0)
    with pytest.raises(SchedulerError, match="set_timesteps"):
        scheduler.step(x, 999, x)
    with pytest.raises(SchedulerError, match="1001 steps"):
        scheduler.set_timesteps(1001)
    with pytest.raises(SchedulerError, match="use_dynamic_shifting"):
        solver(use_flow_sigmas=True).set_timesteps(4, mu=0.5)
    scheduler.set_timesteps(2)
    for t in scheduler.timesteps:
        scheduler.step(x, t, x)
    with pytest.raises(SchedulerError, match="all of its 2 steps"):
        scheduler.step(x, 999, x)


@pytest.mark.parametrize("source", SOLVERS)
@pytest.mark.parametrize("target", SOLVERS)
def test_a_swap_and_back_keeps_what_was_chosen(source: type, target: type) -> None:
    chosen = {"solver_order": 3, "use_karras_sigmas": True, "beta_schedule": "scaled_linear"}
    there = target.from_config(source(**chosen).config)
    back = source.from_config(there.config)
    for name, value in chosen.items():
        assert there.config[name] == value
        assert back.config[name] == value
    for scheduler in (there, back):
        scheduler.set_timesteps(5)
        assert torch.isfinite(scheduler.sigmas).all()


def test_sigmas_that_only_another_solver_has_are_not_used() -> None:
    """`use_lu_lambdas` stays in the config for the way back, and means nothing to UniPC."""
    lu = MULTI(use_lu_lambdas=True)
    swapped, plain = UNIPC.from_config(lu.config), UNIPC()
    for scheduler in (swapped, plain):
        scheduler.set_timesteps(6)
    assert torch.equal(swapped.sigmas, plain.sigmas)
    assert MULTI.from_config(swapped.config).config.use_lu_lambdas
