"""Flows, EDM, Brownian noise, inverse and parallel schedulers walk as those of diffusers do."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import autopipe

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.parity

# Up to 40 float32 evaluations, each rounded; and the reference's SA-Solver takes differences of an
# antiderivative, which lose two digits at higher orders.
ROUNDED = 2e-5
# The reference computes in the same order, bit by bit.
SAME = 0.0

FLOW, FLOW_LCM = "FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler"
FLOW_HEUN = "FlowMatchHeunDiscreteScheduler"
EULER, SOLVER = "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"
COSINE, SDE = "CosineDPMSolverMultistepScheduler", "DPMSolverSDEScheduler"
SA, INVERSE = "SASolverScheduler", "DPMSolverMultistepInverseScheduler"
DDIM_INVERSE = "DDIMInverseScheduler"
PARALLEL = ("DDIMParallelScheduler", "DDPMParallelScheduler")
ALL = (FLOW, FLOW_LCM, FLOW_HEUN, EULER, SOLVER, COSINE, SDE, SA, INVERSE, DDIM_INVERSE, *PARALLEL)

Options = dict[str, Any]
KINDS: list[Options] = [
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_beta_sigmas": True},
]
SPACED: list[Options] = [
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"timestep_spacing": "trailing"},
]
PREDICTIONS: list[Options] = [{"prediction_type": "v_prediction"}, {"prediction_type": "sample"}]
SHIFTED: list[Options] = [
    {"shift": 3.0},
    {"shift": 3.0, "shift_terminal": 0.1},
    {"invert_sigmas": True},
    {"num_train_timesteps": 100},
    *({"shift": 3.0, **kind} for kind in KINDS),
]
LEVELS: list[Options] = [
    {"sigma_schedule": "exponential"},
    {"prediction_type": "v_prediction"},
    {"final_sigmas_type": "sigma_min"},
    {"sigma_data": 1.0, "rho": 5.0, "sigma_max": 20.0},
]
SEEDED: Options = {"noise_sampler_seed": 5}

CONFIGS: dict[str, list[Options]] = {
    FLOW: [*SHIFTED, {"stochastic_sampling": True}],
    FLOW_LCM: SHIFTED,
    FLOW_HEUN: [{"shift": 3.0}, {"num_train_timesteps": 100}],
    EULER: LEVELS,
    SOLVER: [
        *LEVELS,
        *({"solver_order": order, "lower_order_final": False} for order in (1, 3)),
        *({"solver_type": "heun", "algorithm_type": a} for a in ("dpmsolver++", "sde-dpmsolver++")),
        {"algorithm_type": "sde-dpmsolver++"},
        {"thresholding": True, "dynamic_thresholding_ratio": 0.5, "sample_max_value": 1.5},
        {"euler_at_final": True, "final_sigmas_type": "sigma_min"},
    ],
    COSINE: [
        {"solver_type": "heun"},
        {"sigma_schedule": "karras", "prediction_type": "epsilon"},
        {"solver_order": 1, "euler_at_final": True},
    ],
    SDE: [
        {**SEEDED, **options}
        for options in (*KINDS, *SPACED, PREDICTIONS[0], {"beta_schedule": "scaled_linear"})
    ],
    SA: [
        *({"predictor_order": p, "corrector_order": c} for p, c in ((1, 1), (3, 4), (2, 1))),
        {"algorithm_type": "noise_prediction"},
        {"algorithm_type": "noise_prediction", "predictor_order": 3, "corrector_order": 3},
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0},
        {"lower_order_final": False},
        {"thresholding": True},
        {"tau_func": lambda timestep: 0.5},
        *PREDICTIONS,
        *SPACED,
        *KINDS,
    ],
    INVERSE: [
        {"solver_order": 1},
        {"solver_order": 3, "lower_order_final": False},
        {"solver_type": "heun"},
        {"algorithm_type": "dpmsolver", "solver_order": 3},
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
        {"thresholding": True},
        {"lambda_min_clipped": -5.1, "beta_schedule": "squaredcos_cap_v2"},
        *PREDICTIONS,
        *SPACED,
        *KINDS,
    ],
    DDIM_INVERSE: [
        {"clip_sample": False, **options}
        for options in (
            PREDICTIONS[0],
            *SPACED,
            {"set_alpha_to_one": False},
            {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
        )
    ],
}


def network(sample: torch.Tensor, timestep: Any) -> torch.Tensor:
    """Stands for a network: smooth, bounded, and different at each place and timestep."""
    place = torch.linspace(-1, 1, sample.numel()).reshape(sample.shape)
    return torch.tanh(0.8 * sample + torch.sin(3 * place + float(timestep) / 90))


def walk(scheduler: Any, call: Options, begin: int = 0, **step: Any) -> list[torch.Tensor]:
    """The schedule, and every sample on the way along it."""
    scheduler.set_timesteps(**call)
    source = torch.Generator().manual_seed(7)
    sample = torch.randn(2, 3, 4, 4, generator=source) * getattr(scheduler, "init_noise_sigma", 1)
    if begin:
        scheduler.set_begin_index(begin)
    seen = [torch.as_tensor(scheduler.timesteps), getattr(scheduler, "sigmas", sample), sample]
    # With a seed of its own the reference takes no generator.
    takes = inspect.signature(scheduler.step).parameters
    if "generator" in takes and "noise_sampler_seed" not in scheduler.config:
        step["generator"] = source
    scale: Callable[..., Any] = getattr(scheduler, "scale_model_input", lambda one, _: one)
    for timestep in scheduler.timesteps[begin:]:
        scaled = scale(sample, timestep)
        result = scheduler.step(network(scaled, timestep), timestep, sample, **step)
        sample = result.prev_sample
        seen += [scaled, *result.to_tuple()]
    return seen


def assert_same_walk(name: str, config: Options, call: Options | None = None, **more: Any) -> None:
    call = call or {"num_inference_steps": 8}
    ours, theirs = (
        walk(getattr(package, name)(**config), dict(call), **more)
        for package in (autopipe, diffusers)
    )
    assert len(ours) == len(theirs)
    for mine, expected in zip(ours, theirs):
        assert torch.isfinite(expected).all(), "the reference itself fails here: not a case"
        assert mine.dtype == expected.dtype
        limit = SAME if name.startswith("FlowMatch") else ROUNDED
        largest = max(1.0, float(expected.abs().max()))
        assert float((mine - expected).abs().max()) <= limit * largest


def label(value: Any) -> str:
    return "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


@pytest.mark.parametrize("name", ALL)
def test_defaults(name: str) -> None:
    ours, theirs = getattr(autopipe, name)(), getattr(diffusers, name)()
    entries = [
        {key: value for key, value in made.config.items() if not key.startswith("_")}
        for made in (ours, theirs)
    ]
    assert entries[0] == entries[1]
    assert ours.order == theirs.order
    assert torch.as_tensor(ours.timesteps).tolist() == pytest.approx(theirs.timesteps.tolist())
    for method in ("set_timesteps", "step"):
        mine, expected = (
            [
                (p.name, p.default)
                for p in inspect.signature(getattr(one, method)).parameters.values()
            ]
            for one in (ours, theirs)
        )
        # Ours takes a generator as well, which gives the seed of the noise.
        assert mine[: len(expected)] == expected
        assert mine[len(expected) :] in ([], [("generator", None)])
    assert_same_walk(name, SEEDED if name == SDE else {})


@pytest.mark.parametrize(
    ("name", "config"),
    [(name, config) for name, configs in CONFIGS.items() for config in configs],
    ids=label,
)
def test_configs(name: str, config: Options) -> None:
    assert_same_walk(name, config)


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("name", ALL)
def test_step_counts(name: str, count: int) -> None:
    assert_same_walk(name, SEEDED if name == SDE else {}, {"num_inference_steps": count})


@pytest.mark.parametrize("name", [FLOW, FLOW_LCM])
@pytest.mark.parametrize(
    ("config", "call"),
    [
        *(
            ({"use_dynamic_shifting": True, "time_shift_type": kind, **options}, call)
            for kind in ("exponential", "linear")
            for options, call in (
                ({"shift": 3.0}, {"num_inference_steps": 6, "mu": 0.8}),
                ({"shift_terminal": 0.02}, {"sigmas": [1, 0.8, 0.6, 0.3, 0.1], "mu": 1.15}),
            )
        ),
        ({"shift": 3.0}, {"sigmas": [1.0, 0.7, 0.3]}),
        ({"shift": 3.0}, {"timesteps": [900.0, 500.0, 20.0]}),
        ({"shift": 3.0}, {"sigmas": [1.0, 0.7, 0.3], "timesteps": [900.0, 500.0, 20.0]}),
    ],
    ids=label,
)
def test_shifted_and_custom_flows(name: str, config: Options, call: Options) -> None:
    assert_same_walk(name, config, call)


@pytest.mark.parametrize(
    ("name", "config", "more"),
    [
        (FLOW, {"shift": 3.0}, {"begin": 3}),
        (FLOW_LCM, {}, {"begin": 3}),
        (FLOW_HEUN, {}, {"begin": 4}),
        (FLOW_HEUN, {}, {"s_churn": 3.0, "s_noise": 1.1}),
        (FLOW_HEUN, {}, {"s_churn": 2.0, "s_tmin": 0.2, "s_tmax": 0.8}),
        (EULER, {}, {"begin": 3}),
        (EULER, {}, {"s_churn": 4.0, "s_noise": 1.1}),
        (SOLVER, {"solver_order": 3}, {"begin": 3}),
        (COSINE, {}, {"begin": 3}),
        (SDE, SEEDED, {"begin": 4}),
        (SDE, SEEDED, {"s_noise": 0.5}),
        (SA, {}, {"begin": 3}),
    ],
    ids=label,
)
def test_step_options_and_begin(name: str, config: Options, more: Any) -> None:
    assert_same_walk(name, config, **more)


def test_places_of_edm() -> None:
    places = torch.tensor([0, 0.1, 0.4, 0.7, 1.0])
    assert_same_walk(EULER, {}, {"num_inference_steps": 5, "sigmas": places})


def test_growing_flows() -> None:
    config = {"scale_factors": [1.0, 1.5, 2.0], "upscale_mode": "bilinear"}
    assert_same_walk(FLOW_LCM, config, {"num_inference_steps": 4})


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_timestep_for_each_token(stochastic: bool) -> None:
    tokens = torch.tensor([[1000.0, 700.0, 120.0, 4.0]])
    output, sample = torch.randn(2, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    found = []
    for package in (autopipe, diffusers):
        made = getattr(package, FLOW)(shift=3.0, stochastic_sampling=stochastic)
        made.set_timesteps(6)
        generator = torch.Generator().manual_seed(1)
        more = {"per_token_timesteps": tokens, "generator": generator}
        found.append(made.step(output, made.timesteps[2], sample, **more).prev_sample)
    assert torch.equal(*found)


@pytest.mark.parametrize("when", ["unset", "before", "during"])
@pytest.mark.parametrize("name", [FLOW, FLOW_LCM, EULER, SOLVER, SDE, SA])
def test_noise_is_added_alike(name: str, when: str) -> None:
    clean, noise = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    found = []
    for package in (autopipe, diffusers):
        made = getattr(package, name)(**(SEEDED if name == SDE else {}))
        made.set_timesteps(8)
        if when != "unset":
            made.set_begin_index(2)
        if when == "during":
            made.step(clean, made.timesteps[2], noise)
        at = made.timesteps[2:4]
        flow = name.startswith("FlowMatch")
        found.append(
            made.scale_noise(clean, at, noise) if flow else made.add_noise(clean, noise, at)
        )
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    "config",
    [{}, {"clip_sample": False, "prediction_type": "v_prediction"}, {"thresholding": True}],
)
@pytest.mark.parametrize("name", PARALLEL)
def test_steps_of_a_batch(name: str, config: Options) -> None:
    output, sample = torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    found = []
    for package in (autopipe, diffusers):
        made = getattr(package, name)(**config)
        made.set_timesteps(10)
        found.append(made.batch_step_no_noise(output, made.timesteps[[0, 3, 8, 9]], sample))
    torch.testing.assert_close(*found)


def test_a_path_for_each_sample() -> None:
    found = []
    for package in (autopipe, diffusers):
        made = getattr(package, COSINE)()
        made.set_timesteps(4)
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        sample = torch.ones(2, 3, 4, 4)
        for timestep in made.timesteps:
            output = network(sample, timestep)
            sample = made.step(output, timestep, sample, generator=generators).prev_sample
        found.append(sample)
    torch.testing.assert_close(*found)


def test_a_path_without_a_seed_is_drawn_from_the_global_source() -> None:
    found = []
    for package in (autopipe, diffusers):
        torch.manual_seed(4)
        found.append(walk(getattr(package, SDE)(), {"num_inference_steps": 4})[-1])
        made = getattr(package, SDE)()
        made.set_timesteps(4)
        torch.manual_seed(4)
        sample = torch.ones(1, 3, 4, 4)
        for timestep in made.timesteps:
            sample = made.step(network(sample, timestep), timestep, sample).prev_sample
        found[-1] = sample
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("timesteps", [None, [1.0, 0.6, 0.2, 0.0]])
@pytest.mark.parametrize("config", [{}, {"scaler": 2.0}, {"scaler": 0.5, "s": 0.02}], ids=label)
def test_wuerstchen(config: Options, timesteps: list[float] | None) -> None:
    found = []
    for package in (autopipe, diffusers):
        made = package.DDPMWuerstchenScheduler(**config)
        made.set_timesteps(None if timesteps else 6, timesteps=timesteps)
        source = torch.Generator().manual_seed(1)
        sample = torch.randn(2, 4, 8, 8, generator=source)
        seen = [made.timesteps]
        for timestep in made.timesteps[:-1]:
            output = network(sample, timestep)
            sample = made.step(output, timestep.expand(2), sample, generator=source).prev_sample
            seen.append(sample)
        seen.append(made.add_noise(sample, sample.cos(), torch.tensor([0.3, 0.7])))
        found.append(seen)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("config", [{}, {"num_train_timesteps": 10}])
def test_classes(config: Options) -> None:
    walks = []
    for package in (autopipe, diffusers):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = package.VQDiffusionScheduler(9, **config)
        made.set_timesteps(10)
        source = torch.Generator().manual_seed(1)
        classes, seen = torch.full((2, 16), 8), []
        for timestep in made.timesteps:
            place = torch.arange(8)[None, :, None] * 1.3 + classes[:, None] * 0.7
            output = torch.sin(place + timestep).log_softmax(dim=1)
            if timestep:
                seen.append(made.q_posterior(output, classes, timestep))
            classes = made.step(output, timestep, classes, generator=source).prev_sample
            seen.append(classes)
        walks.append(seen)
    torch.testing.assert_close(*walks)


EVERYDAY = ("DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler")


@pytest.mark.parametrize("second", [*EVERYDAY, SDE, SA, INVERSE, DDIM_INVERSE, *PARALLEL])
@pytest.mark.parametrize("first", [*EVERYDAY, SDE, SA, INVERSE, DDIM_INVERSE, *PARALLEL])
def test_swaps(first: str, second: str) -> None:
    """A swap and the swap back keep the same entries."""
    config = {
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 100,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "prediction_type": "v_prediction",
    }
    made = [getattr(package, first).from_config(config) for package in (autopipe, diffusers)]
    for name in (second, first):
        made = [
            getattr(package, name).from_config(one.config)
            for package, one in zip((autopipe, diffusers), made)
        ]
        mine, expected = (
            {key: value for key, value in one.config.items() if not key.startswith("_")}
            for one in made
        )
        assert mine == expected


@pytest.mark.parametrize("name", [*ALL, "DDPMWuerstchenScheduler"])
def test_saved_configs_load_in_the_other_library(name: str, tmp_path: Any) -> None:
    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    for saving, loading in ((ours, theirs), (theirs, ours)):
        made = saving()
        made.save_pretrained(tmp_path)
        again = loading.from_pretrained(tmp_path)
        for key in ours.init_parameters():
            assert again.config[key] == made.config[key]
