"""The four exponential-integrator solvers give diffusers' numbers over whole schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autopipe_components.schedulers.deis_multistep import DEISMultistepScheduler
from autopipe_components.schedulers.dpm_solver_multistep import DPMSolverMultistepScheduler
from autopipe_components.schedulers.dpm_solver_singlestep import DPMSolverSinglestepScheduler
from autopipe_components.schedulers.unipc_multistep import UniPCMultistepScheduler

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.parity

MULTI, SINGLE = DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler
UNIPC, DEIS = UniPCMultistepScheduler, DEISMultistepScheduler
SOLVERS = [MULTI, SINGLE, UNIPC, DEIS]

# The same formulas to rounding: seen where the reference can be run in float64 (it casts down in
# the multistep DPM-Solver alone).
EXACT = 1e-8

# In float32 both round, in a different order, and an error of 1e-7 grows where a clean sample is
# told from noise at little signal (1/157 at the start of the linear betas).
ROUNDED = 5e-5

# There the reference loses digits in DEIS: it takes differences of an antiderivative at nearby
# points. At third order it can lose all of them, so that one is compared in float64 alone.
ROUNDED_DEIS = 5e-3

Options = dict[str, Any]


def model(scheduler: Any, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A stand-in for a network: what it says of clean sample and noise fits together, as x does."""
    kind = scheduler.config.prediction_type
    if kind == "flow_prediction":
        sigma = t / scheduler.config.num_train_timesteps
        alpha = 1 - sigma
    else:
        bar = scheduler.alphas_cumprod[int(t)]
        alpha, sigma = bar**0.5, (1 - bar) ** 0.5
    wave = 0.3 * torch.tanh(2 * x + torch.sin(t / 150))
    clean, noise = alpha * x - sigma * wave, sigma * x + alpha * wave
    return {
        "epsilon": noise,
        "sample": clean,
        "v_prediction": alpha * noise - sigma * clean,
        "flow_prediction": noise - clean,
    }[kind]


def start(seed: int = 0, shape: tuple[int, ...] = (2, 3, 5, 4)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def trajectory(
    scheduler: Any, call: Options, dtype: torch.dtype = torch.float32, seed: int | None = None
) -> list[torch.Tensor]:
    """Every sample of a whole schedule."""
    scheduler.set_timesteps(**call)
    # Timesteps that are rounded to the same number make the reference begin at the second of them.
    scheduler.set_begin_index(0)
    scheduler.sigmas = scheduler.sigmas.to(dtype)
    drawn = {} if seed is None else {"generator": torch.Generator().manual_seed(seed)}
    x, found = start().to(dtype), []
    for t in scheduler.timesteps:
        x = scheduler.step(model(scheduler, x, t), t, x, **drawn)[0]
        found.append(x)
    return found


def assert_same_schedule(
    ours: type, options: Options, call: Options | None = None, seed: int | None = None
) -> None:
    call = {"num_inference_steps": 8} if call is None else call
    mine, theirs = ours(**options), getattr(diffusers, ours.__name__)(**options)
    limits = {torch.float32: ROUNDED_DEIS if ours is DEIS else ROUNDED}
    if ours is DEIS and options.get("solver_order") == 3:
        limits.clear()
    if ours is not MULTI:
        limits[torch.float64] = EXACT
    for dtype, limit in limits.items():
        got, expected = (trajectory(s, dict(call), dtype, seed) for s in (mine, theirs))
        assert torch.equal(mine.timesteps, theirs.timesteps)
        assert mine.timesteps.dtype == theirs.timesteps.dtype
        torch.testing.assert_close(mine.sigmas, theirs.sigmas, rtol=1e-6, atol=0)
        assert len(got) == len(expected)
        for a, b in zip(got, expected):
            assert a.dtype == dtype
            assert torch.isfinite(b).all(), "the reference itself fails here: not a case"
            assert (a - b).abs().max() <= limit * max(1.0, float(b.abs().max()))


def cases(*sets: tuple[list[type], list[Options]]) -> list[Any]:
    return [
        pytest.param(
            solver, options, id=f"{solver.__name__[:10]}-" + "-".join(map(str, options.values()))
        )
        for solvers, choices in sets
        for solver in solvers
        for options in choices
    ]


def grid(**choices: list[Any]) -> list[Options]:
    """Every combination of the choices."""
    found: list[Options] = [{}]
    for name, values in choices.items():
        found = [{**options, name: value} for options in found for value in values]
    return found


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 16, 50])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_orders_and_lengths(solver: type, order: int, steps: int) -> None:
    assert_same_schedule(solver, {"solver_order": order}, {"num_inference_steps": steps})


PREDICTIONS = ["epsilon", "sample", "v_prediction"]


@pytest.mark.parametrize(
    ("solver", "options"),
    cases(
        (SOLVERS, grid(prediction_type=PREDICTIONS)),
        ([MULTI, SINGLE], grid(prediction_type=PREDICTIONS, final_sigmas_type=["sigma_min"],
                               algorithm_type=["dpmsolver"], solver_order=[2, 3])),
        ([UNIPC], grid(prediction_type=PREDICTIONS, final_sigmas_type=["sigma_min"],
                       predict_x0=[False], solver_order=[2, 3])),
    ),
)  # fmt: skip
def test_prediction_types(solver: type, options: Options) -> None:
    assert_same_schedule(solver, options)


@pytest.mark.parametrize("steps", [6, 17])
@pytest.mark.parametrize(
    ("solver", "options"),
    cases(
        ([MULTI, SINGLE], grid(algorithm_type=["dpmsolver++", "dpmsolver"], solver_order=[2, 3],
                               solver_type=["midpoint", "heun"], final_sigmas_type=["sigma_min"],
                               lower_order_final=[False, True])),
        ([MULTI], grid(solver_order=[2, 3], euler_at_final=[True],
                       final_sigmas_type=["zero", "sigma_min"])),
        ([UNIPC], grid(solver_type=["bh1", "bh2"], final_sigmas_type=["sigma_min"],
                       solver_order=[1, 2, 3], predict_x0=[True, False],
                       lower_order_final=[False, True])),
        ([UNIPC], grid(solver_order=[4, 5])),
        ([UNIPC], grid(disable_corrector=[[0], [0, 1, 2]], solver_order=[2, 3])),
        ([DEIS], grid(solver_order=[2, 3], lower_order_final=[False, True])),
    ),
)  # fmt: skip
def test_solver_variants(solver: type, options: Options, steps: int) -> None:
    assert_same_schedule(solver, options, {"num_inference_steps": steps})


@pytest.mark.parametrize("steps", [5, 16])
@pytest.mark.parametrize(
    ("solver", "options"),
    cases(
        ([MULTI, SINGLE], grid(algorithm_type=["sde-dpmsolver++"], solver_order=[1, 2, 3],
                               solver_type=["midpoint", "heun"])),
        ([MULTI], grid(algorithm_type=["sde-dpmsolver"], solver_order=[1, 2],
                       solver_type=["midpoint", "heun"], final_sigmas_type=["sigma_min"])),
    ),
)  # fmt: skip
def test_stochastic_variants(solver: type, options: Options, steps: int) -> None:
    assert_same_schedule(solver, options, {"num_inference_steps": steps}, seed=7)


SPACINGS = ["linspace", "leading", "trailing"]


@pytest.mark.parametrize("steps", [4, 9, 20])
@pytest.mark.parametrize(
    ("solver", "options"),
    cases(([MULTI, UNIPC, DEIS], grid(timestep_spacing=SPACINGS, steps_offset=[0, 1]))),
)
def test_spacings(solver: type, options: Options, steps: int) -> None:
    assert_same_schedule(solver, options, {"num_inference_steps": steps})


@pytest.mark.parametrize("steps", [1, 5, 10, 18])
@pytest.mark.parametrize(
    ("solver", "options"),
    cases(
        (SOLVERS, grid(use_karras_sigmas=[True], beta_schedule=["scaled_linear", "linear"])),
        (SOLVERS, grid(use_exponential_sigmas=[True], solver_order=[2, 3])),
        (SOLVERS, grid(use_beta_sigmas=[True], solver_order=[2, 3])),
        ([MULTI], grid(use_lu_lambdas=[True], beta_schedule=["scaled_linear", "linear"])),
        ([MULTI, SINGLE, UNIPC], [{"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}]),
        ([MULTI, UNIPC, DEIS], [{"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"}]),
    ),
)
def test_sigma_schedules(solver: type, options: Options, steps: int) -> None:
    assert_same_schedule(solver, options, {"num_inference_steps": steps})


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@pytest.mark.parametrize(
    ("solver", "options"),
    cases(
        (SOLVERS, [{**FLOW, **o} for o in grid(flow_shift=[1.0, 3.0], solver_order=[2, 3])]),
        ([UNIPC], [{**FLOW, "shift_terminal": 0.1}, {**FLOW, "final_sigmas_type": "sigma_min"},
                   {**FLOW, "use_karras_sigmas": True}]),
        ([MULTI, SINGLE], [{**FLOW, "final_sigmas_type": "sigma_min"}]),
    ),
)  # fmt: skip
def test_flow_matching(solver: type, options: Options) -> None:
    assert_same_schedule(solver, options)


@pytest.mark.parametrize(
    ("solver", "kind"), [*((solver, "exponential") for solver in SOLVERS), (UNIPC, "linear")]
)
def test_dynamic_shifting(solver: type, kind: str) -> None:
    options = {**FLOW, "use_dynamic_shifting": True, "time_shift_type": kind}
    assert_same_schedule(solver, options, {"num_inference_steps": 6, "mu": 0.8})


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_beta_schedules(solver: type, beta_schedule: str) -> None:
    options = {"beta_schedule": beta_schedule, "prediction_type": "v_prediction"}
    assert_same_schedule(solver, options)


@pytest.mark.parametrize("solver", SOLVERS)
def test_trained_betas(solver: type) -> None:
    betas = np.linspace(1e-3, 2e-2, 400, dtype=np.float32)
    assert_same_schedule(solver, {"trained_betas": betas, "num_train_timesteps": 400})


@pytest.mark.parametrize("solver", [MULTI, UNIPC])
def test_zero_terminal_snr(solver: type) -> None:
    options = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction",
               "timestep_spacing": "trailing"}  # fmt: skip
    assert_same_schedule(solver, options)


@pytest.mark.parametrize("solver", [MULTI, SINGLE])
@pytest.mark.parametrize("clip", [-5.1, -3.0])
def test_clipped_lambda(solver: type, clip: float) -> None:
    options = {"lambda_min_clipped": clip, "beta_schedule": "squaredcos_cap_v2"}
    assert_same_schedule(solver, options)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("ratio", "largest"), [(0.995, 1.0), (0.8, 2.5)])
def test_thresholding(solver: type, ratio: float, largest: float) -> None:
    options = {"thresholding": True, "dynamic_thresholding_ratio": ratio,
               "sample_max_value": largest}  # fmt: skip
    assert_same_schedule(solver, options)


def test_thresholding_of_predicted_noise() -> None:
    options = {"thresholding": True, "algorithm_type": "dpmsolver",
               "final_sigmas_type": "sigma_min"}  # fmt: skip
    assert_same_schedule(MULTI, options)
