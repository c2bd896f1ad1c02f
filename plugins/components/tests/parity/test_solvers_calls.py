"""The four solvers' calls agree with diffusers': custom schedules, starts in the middle, noise."""

from __future__ import annotations

import inspect
from typing import Any

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

# Rounding alone: float64 coefficients here, float32 ones in the reference.
TOLERANCE = 2e-5


def pair(solver: type, **options: Any) -> tuple[Any, Any]:
    return solver(**options), getattr(diffusers, solver.__name__)(**options)


def noise(seed: int = 0, shape: tuple[int, ...] = (2, 3, 4, 4)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def run(scheduler: Any, timesteps: torch.Tensor, x: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    for t in timesteps:
        x = scheduler.step(0.9 * torch.tanh(x + t / 2000), t, x, return_dict=False, **kwargs)[0]
    return x


def assert_close(got: torch.Tensor, expected: torch.Tensor) -> None:
    assert torch.isfinite(expected).all()
    assert (got - expected).abs().max() <= TOLERANCE * max(1.0, float(expected.abs().max()))


def both(ours: Any, theirs: Any, **call: Any) -> None:
    ours.set_timesteps(**call)
    theirs.set_timesteps(**call)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver", [MULTI, SINGLE])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_custom_timesteps(solver: type, order: int) -> None:
    ours, theirs = pair(solver, solver_order=order)
    both(ours, theirs, timesteps=[990, 800, 650, 400, 180, 60, 9])
    assert_close(run(ours, ours.timesteps, noise()), run(theirs, theirs.timesteps, noise()))


def test_custom_sigmas() -> None:
    ours, theirs = pair(UNIPC, use_flow_sigmas=True, prediction_type="flow_prediction")
    ours.set_timesteps(sigmas=[1.0, 0.8, 0.5, 0.2])
    theirs.set_timesteps(sigmas=torch.tensor([1.0, 0.8, 0.5, 0.2]).numpy())
    assert torch.equal(ours.timesteps, theirs.timesteps)
    assert_close(run(ours, ours.timesteps, noise()), run(theirs, theirs.timesteps, noise()))


@pytest.mark.parametrize("begin", [1, 2, 4, 7])
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_start_in_the_middle(solver: type, order: int, begin: int) -> None:
    ours, theirs = pair(solver, solver_order=order)
    found = []
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(8)
        scheduler.set_begin_index(begin)
        ts = scheduler.timesteps[begin:]
        x = scheduler.add_noise(noise(1), noise(2), ts[:1].repeat(2))
        found.append(run(scheduler, ts, x))
    assert_close(*found)


@pytest.mark.parametrize("solver", SOLVERS)
def test_start_in_the_middle_without_begin_index(solver: type) -> None:
    ours, theirs = pair(solver, solver_order=3)
    both(ours, theirs, num_inference_steps=9)
    assert_close(run(ours, ours.timesteps[3:], noise()), run(theirs, theirs.timesteps[3:], noise()))


@pytest.mark.parametrize("options", [{}, {"use_flow_sigmas": True}, {"use_karras_sigmas": True}])
@pytest.mark.parametrize("solver", SOLVERS)
def test_add_noise_through_a_call(solver: type, options: dict[str, Any]) -> None:
    ours, theirs = pair(solver, **options)
    both(ours, theirs, num_inference_steps=6)
    clean, drawn = noise(1), noise(2)

    def agree(t: torch.Tensor) -> None:
        assert_close(ours.add_noise(clean, drawn, t), theirs.add_noise(clean, drawn, t))

    agree(ours.timesteps[[2, 4]])  # by timestep: no begin index yet
    for scheduler in (ours, theirs):
        scheduler.set_begin_index(2)
    agree(ours.timesteps[:2])  # at the begin index: not yet stepping
    for scheduler in (ours, theirs):
        run(scheduler, scheduler.timesteps[2:3], clean)
    agree(ours.timesteps[:2])  # at the step index


@pytest.mark.parametrize("solver", [MULTI, SINGLE])
def test_list_of_generators(solver: type) -> None:
    found = []
    for scheduler in pair(solver, algorithm_type="sde-dpmsolver++"):
        scheduler.set_timesteps(5)
        generators = [torch.Generator().manual_seed(i) for i in (3, 4)]
        found.append(run(scheduler, scheduler.timesteps, noise(), generator=generators))
    assert_close(*found)


def test_variance_noise_is_used_instead_of_drawing() -> None:
    found = []
    for scheduler in pair(MULTI, algorithm_type="sde-dpmsolver++"):
        scheduler.set_timesteps(5)
        found.append(run(scheduler, scheduler.timesteps, noise(), variance_noise=noise(9)))
    assert_close(*found)


@pytest.mark.parametrize("solver", [MULTI, SINGLE])
def test_learned_variance_is_split_off(solver: type) -> None:
    found = []
    for scheduler in pair(solver, variance_type="learned_range"):
        scheduler.set_timesteps(5)
        x = noise()
        for t in scheduler.timesteps:
            x = scheduler.step(torch.cat([torch.tanh(x), x], dim=1), t, x).prev_sample
        found.append(x)
    assert_close(*found)


def test_another_scheduler_as_predictor() -> None:
    found = []
    for scheduler, predictor in zip(pair(UNIPC), pair(MULTI)):
        solver = type(scheduler)(solver_p=predictor)
        solver.set_timesteps(6)
        found.append(run(solver, solver.timesteps, noise()))
    assert_close(*found)


SOURCES = {
    "PNDMScheduler": {"skip_prk_steps": True, "steps_offset": 1, "beta_schedule": "scaled_linear"},
    "DDIMScheduler": {"timestep_spacing": "trailing", "prediction_type": "v_prediction"},
    "EulerDiscreteScheduler": {"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 12.0},
    "DPMSolverMultistepScheduler": {"solver_order": 3, "solver_type": "heun"},
    "DPMSolverSinglestepScheduler": {"solver_order": 3, "lower_order_final": True},
    "UniPCMultistepScheduler": {"solver_type": "bh2", "solver_order": 3},
    "DEISMultistepScheduler": {"solver_order": 3, "timestep_spacing": "leading"},
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_from_config_of_another_scheduler(solver: type, source: str) -> None:
    config = getattr(diffusers, source)(**SOURCES[source]).config
    ours, theirs = (
        solver.from_config(config),
        getattr(diffusers, solver.__name__).from_config(config),
    )
    mine, other = (
        {k: v for k, v in s.config.items() if not k.startswith("_")} for s in (ours, theirs)
    )
    assert mine == other
    both(ours, theirs, num_inference_steps=7)
    assert_close(run(ours, ours.timesteps, noise()), run(theirs, theirs.timesteps, noise()))


@pytest.mark.parametrize("solver", SOLVERS)
def test_defaults_are_the_same(solver: type) -> None:
    ours, theirs = pair(solver)
    mine, other = (
        {k: v for k, v in s.config.items() if not k.startswith("_")} for s in (ours, theirs)
    )
    assert mine == other


@pytest.mark.parametrize("method", ["__init__", "set_timesteps", "step", "add_noise"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_parameters_are_the_same(solver: type, method: str) -> None:
    mine, other = (
        [
            (p.name, p.default)
            for p in inspect.signature(getattr(c, method)).parameters.values()
            if p.kind != p.VAR_KEYWORD
        ]
        for c in (solver, getattr(diffusers, solver.__name__))
    )
    assert mine == other
