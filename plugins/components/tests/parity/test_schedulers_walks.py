"""Every scheduler walks its whole schedule as the one of diffusers does, under every option."""

from __future__ import annotations

import importlib
import inspect
import itertools
from typing import Any

import pytest
import torch

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.parity

# Samples stay within about [-30, 30] and pass through up to 40 float32 evaluations, each of which
# rounds by up to 30 / 2**23; processors round sums in different orders.
TOLERANCE = {"atol": 40 * 30 / 2**23, "rtol": 2e-5}
# Ancestral steps go down to sqrt(following^2 - up^2) in the reference, which cancels in float32
# where a step is large (zero SNR, two steps in all); ours to following^2 / sigma, the same number.
CANCELLED = {"atol": 1e-2, "rtol": 2e-5}

MODULES = {
    "PNDMScheduler": "pndm",
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "LMSDiscreteScheduler": "lms_discrete",
    "EulerDiscreteScheduler": "euler_discrete",
    "EulerAncestralDiscreteScheduler": "euler_ancestral_discrete",
    "HeunDiscreteScheduler": "heun_discrete",
    "KDPM2DiscreteScheduler": "k_dpm_2_discrete",
    "KDPM2AncestralDiscreteScheduler": "k_dpm_2_ancestral_discrete",
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
}
SOLVERS = {
    "DPMSolverMultistepScheduler": "dpm_solver_multistep",
    "DPMSolverSinglestepScheduler": "dpm_solver_singlestep",
    "UniPCMultistepScheduler": "unipc_multistep",
    "DEISMultistepScheduler": "deis_multistep",
}
"""Compared elsewhere; here they are swapped with the others."""
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACED = [
    {"timestep_spacing": spacing, "steps_offset": offset}
    for spacing, offset in [("linspace", 0), ("leading", 0), ("leading", 1), ("trailing", 0)]
]
PREDICTIONS = [{"prediction_type": "epsilon"}, {"prediction_type": "v_prediction"}]
WITH_SAMPLE = [*PREDICTIONS, {"prediction_type": "sample"}]
BETAS = [
    {"beta_schedule": "linear"},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": [0.0005 + 0.00002 * i for i in range(1000)]},
    {"trained_betas": [0.005 + 0.0005 * i for i in range(100)], "num_train_timesteps": 100},
]
RESPACED = [
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_beta_sigmas": True},
]
BOUNDED = [
    {"clip_sample": True},
    {"clip_sample": True, "clip_sample_range": 0.5},
    {"thresholding": True},
    {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5},
]
ZERO_SNR = [
    {"rescale_betas_zero_snr": True, "prediction_type": kind, "timestep_spacing": spacing}
    for kind, spacing in itertools.product(["v_prediction", "sample"], ["trailing", "leading"])
]


def crossed(*groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for part in parts for key, value in part.items()}
        for parts in itertools.product(*groups)
    ]


CONFIGS: dict[str, list[dict[str, Any]]] = {
    "PNDMScheduler": crossed(
        [{"skip_prk_steps": True}, {"skip_prk_steps": False}], SPACED, PREDICTIONS
    )
    + crossed([{"skip_prk_steps": True}], [*BETAS, {"set_alpha_to_one": True}]),
    "DDIMScheduler": crossed([{"clip_sample": False}], SPACED, WITH_SAMPLE)
    + crossed([{"clip_sample": False}], [*BETAS, {"set_alpha_to_one": False}, *ZERO_SNR])
    + crossed(BOUNDED, WITH_SAMPLE),
    "DDPMScheduler": crossed([{"clip_sample": False}], SPACED, WITH_SAMPLE)
    + crossed(
        [{"clip_sample": False}],
        [*BETAS, {"beta_schedule": "sigmoid"}, {"beta_schedule": "laplace"}, *ZERO_SNR],
    )
    + crossed(
        [{"variance_type": kind} for kind in ["fixed_small", "fixed_small_log", "fixed_large"]]
        + [
            {"variance_type": None},
            {"variance_type": "learned"},
            {"variance_type": "learned_range"},
        ]
    )
    # As DeepFloyd IF is published.
    + crossed(
        [{"variance_type": "learned_range", "beta_schedule": "squaredcos_cap_v2"}],
        [{"thresholding": True, "dynamic_thresholding_ratio": 0.95, "sample_max_value": 1.5}],
        SPACED,
    )
    + crossed(BOUNDED, PREDICTIONS),
    "LMSDiscreteScheduler": crossed(SPACED, WITH_SAMPLE) + crossed(SPACED, RESPACED) + BETAS,
    "EulerDiscreteScheduler": crossed(SPACED, WITH_SAMPLE)
    + crossed(SPACED, RESPACED)
    + crossed(RESPACED, [{"sigma_min": 0.05}, {"sigma_max": 10.0}])
    + crossed(RESPACED, [{"interpolation_type": "log_linear"}])
    + BETAS
    + [*ZERO_SNR[:2], {"final_sigmas_type": "sigma_min"}, {"interpolation_type": "log_linear"}]
    + [{"timestep_type": "continuous", "prediction_type": "v_prediction"}],
    "EulerAncestralDiscreteScheduler": crossed(SPACED, PREDICTIONS) + BETAS + ZERO_SNR[:2],
    "HeunDiscreteScheduler": crossed(SPACED, WITH_SAMPLE)
    + crossed(SPACED, RESPACED)
    + [*BETAS, {"beta_schedule": "exp"}, *BOUNDED[:2]],
    "KDPM2DiscreteScheduler": crossed(SPACED, PREDICTIONS) + crossed(SPACED, RESPACED) + BETAS,
    "KDPM2AncestralDiscreteScheduler": crossed(SPACED, PREDICTIONS)
    + crossed(SPACED, RESPACED)
    + [BETAS[0], *BETAS[2:]],  # the reference makes NaN of squaredcos_cap_v2
    "LCMScheduler": WITH_SAMPLE
    + crossed(BOUNDED, WITH_SAMPLE)
    + [*BETAS[:3], {"timestep_scaling": 3.0}, {"original_inference_steps": 20}, *ZERO_SNR],
    "TCDScheduler": [*WITH_SAMPLE, *BETAS[:3], {"original_inference_steps": 20}, *ZERO_SNR[:1]],
}
CASES = [(name, config) for name, configs in CONFIGS.items() for config in configs]


def label(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    shown = {k: len(v) if isinstance(v, list) else v for k, v in value.items()}
    return ",".join(f"{k}={v}" for k, v in shown.items()) or "defaults"


def classes(name: str) -> tuple[Any, Any]:
    """The class `name` of ours and of diffusers."""
    module = {**MODULES, **SOLVERS}[name]
    ours = importlib.import_module(f"autopipe_components.schedulers.{module}")
    return getattr(ours, name), getattr(diffusers, name)


def pair(name: str, config: dict[str, Any]) -> tuple[Any, Any]:
    """The scheduler `name` of ours and of diffusers."""
    ours, theirs = classes(name)
    return ours(**config), theirs(**config)


def public(scheduler: Any) -> dict[str, Any]:
    return {key: value for key, value in scheduler.config.items() if not key.startswith("_")}


def network(sample: torch.Tensor, timestep: Any, channels: int) -> torch.Tensor:
    """Stands for a network: smooth, bounded, and different at each place and timestep."""
    place = torch.linspace(-1, 1, sample.numel()).reshape(sample.shape)
    output = torch.tanh(0.8 * sample + torch.sin(3 * place + float(timestep) / 90))
    return torch.cat([output, output.abs()], dim=1)[:, :channels]


def walk(
    scheduler: Any,
    schedule: dict[str, Any] | None = None,
    begin: int = 0,
    channels: int = 3,
    **step: Any,
) -> list[torch.Tensor]:
    """Every sample on the way from seeded noise along the whole schedule, timesteps first."""
    scheduler.set_timesteps(**(schedule or {"num_inference_steps": 8}))
    generator = torch.Generator().manual_seed(7)
    sample = torch.randn(2, 3, 4, 4, generator=generator) * scheduler.init_noise_sigma
    if begin and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    seen = [scheduler.timesteps.double(), sample]
    if "generator" in inspect.signature(scheduler.step).parameters:
        step["generator"] = generator
    for timestep in scheduler.timesteps[begin:]:
        scaled = scheduler.scale_model_input(sample, timestep)
        result = scheduler.step(network(scaled, timestep, channels), timestep, sample, **step)
        sample = result.prev_sample
        seen += [scaled, *result.to_tuple()]
    return seen


def assert_same_walk(name: str, config: dict[str, Any], **options: Any) -> None:
    ours, theirs = pair(name, config)
    walks = walk(ours, **options), walk(theirs, **options)
    large_steps = config.get("rescale_betas_zero_snr") or len(ours.timesteps) < 6
    cancelled = "Ancestral" in name and large_steps
    torch.testing.assert_close(*walks, **(CANCELLED if cancelled else TOLERANCE))


@pytest.mark.parametrize(("name", "config"), CASES, ids=label)
def test_whole_schedule(name: str, config: dict[str, Any]) -> None:
    channels = 6 if str(config.get("variance_type")).startswith("learned") else 3
    assert_same_walk(name, {**SD, **config}, channels=channels)


@pytest.mark.parametrize("name", MODULES)
def test_defaults(name: str) -> None:
    ours, theirs = pair(name, {})
    assert public(ours) == public(theirs)
    assert ours.order == theirs.order
    torch.testing.assert_close(
        torch.as_tensor(ours.init_noise_sigma), torch.as_tensor(theirs.init_noise_sigma)
    )
    for attribute in ["betas", "alphas", "alphas_cumprod", "final_alpha_cumprod", "sigmas"]:
        if hasattr(theirs, attribute):
            torch.testing.assert_close(getattr(ours, attribute), getattr(theirs, attribute))
    assert_same_walk(name, {})


@pytest.mark.parametrize("count", [1, 2, 5, 20, 37])
@pytest.mark.parametrize("name", MODULES)
def test_step_counts(name: str, count: int) -> None:
    config = {**SD, "skip_prk_steps": True} if name == "PNDMScheduler" else SD
    assert_same_walk(name, config, schedule={"num_inference_steps": count})


@pytest.mark.parametrize(
    ("name", "config", "options"),
    [
        ("DDIMScheduler", {}, {"eta": 0.5}),
        ("DDIMScheduler", {}, {"eta": 1.0, "use_clipped_model_output": True}),
        (
            "DDIMScheduler",
            {
                "rescale_betas_zero_snr": True,
                "prediction_type": "v_prediction",
                "timestep_spacing": "trailing",
            },
            {"eta": 1.0},
        ),
        ("EulerDiscreteScheduler", {}, {"s_churn": 4.0, "s_noise": 1.1}),
        ("EulerDiscreteScheduler", {"prediction_type": "v_prediction"}, {"s_churn": 40.0}),
        ("EulerDiscreteScheduler", {}, {"s_churn": 2.0, "s_tmin": 0.5, "s_tmax": 5.0}),
        ("LMSDiscreteScheduler", {}, {"order": 1}),
        ("LMSDiscreteScheduler", {}, {"order": 2}),
        ("LMSDiscreteScheduler", {}, {"order": 5}),
        ("TCDScheduler", {}, {"eta": 0.0}),
        ("TCDScheduler", {}, {"eta": 0.7}),
        ("TCDScheduler", {}, {"eta": 1.0}),
        ("PNDMScheduler", {"skip_prk_steps": True}, {"begin": 4}),
        ("DDIMScheduler", {}, {"begin": 3}),
        ("DDPMScheduler", {}, {"begin": 3}),
        ("LMSDiscreteScheduler", {}, {"begin": 3}),
        ("EulerDiscreteScheduler", {}, {"begin": 3}),
        ("EulerAncestralDiscreteScheduler", {}, {"begin": 3}),
        ("HeunDiscreteScheduler", {}, {"begin": 6}),
        ("KDPM2DiscreteScheduler", {}, {"begin": 6}),
        ("KDPM2AncestralDiscreteScheduler", {}, {"begin": 6}),
        ("LCMScheduler", {}, {"begin": 2}),
        ("TCDScheduler", {}, {"begin": 2}),
    ],
    ids=label,
)
def test_step_options_and_begin(name: str, config: dict[str, Any], options: Any) -> None:
    assert_same_walk(name, {**SD, **config}, **options)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("DDPMScheduler", {"timesteps": [950, 700, 333, 10, 0]}),
        ("EulerDiscreteScheduler", {"timesteps": [999, 845, 730, 443, 116, 13]}),
        ("EulerDiscreteScheduler", {"sigmas": [14.6, 6.3, 2.1, 0.6, 0.1, 0.0]}),
        ("HeunDiscreteScheduler", {"timesteps": [999, 845, 443, 116]}),
        ("HeunDiscreteScheduler", {"num_inference_steps": 6, "num_train_timesteps": 500}),
        ("KDPM2DiscreteScheduler", {"num_inference_steps": 6, "num_train_timesteps": 500}),
        ("KDPM2AncestralDiscreteScheduler", {"num_inference_steps": 6, "num_train_timesteps": 500}),
        ("LCMScheduler", {"timesteps": [999, 759, 499, 259]}),
        ("LCMScheduler", {"num_inference_steps": 4, "original_inference_steps": 30}),
        ("LCMScheduler", {"num_inference_steps": 4, "strength": 0.5}),
        ("TCDScheduler", {"timesteps": [999, 759, 499, 259]}),
        ("TCDScheduler", {"num_inference_steps": 4, "original_inference_steps": 30}),
        ("TCDScheduler", {"num_inference_steps": 4, "strength": 0.5}),
    ],
    ids=label,
)
def test_custom_schedules(name: str, schedule: dict[str, Any]) -> None:
    assert_same_walk(name, SD, schedule=schedule)


@pytest.mark.parametrize("second", [*MODULES, *SOLVERS])
@pytest.mark.parametrize("first", [*MODULES, *SOLVERS])
def test_from_config_between_all(first: str, second: str) -> None:
    """A swap and the swap back keep the same entries and walk alike."""
    config = {
        **SD,
        "num_train_timesteps": 100,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "prediction_type": "v_prediction",
        "skip_prk_steps": True,
    }
    origin = [made.from_config(config) for made in classes(first)]
    swapped = [to.from_config(made.config) for to, made in zip(classes(second), origin)]
    back = [to.from_config(made.config) for to, made in zip(classes(first), swapped)]
    for ours, theirs in (swapped, back):
        assert public(ours) == public(theirs)
        torch.testing.assert_close(walk(ours), walk(theirs), **TOLERANCE)
