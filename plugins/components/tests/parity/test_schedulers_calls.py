"""What schedulers offer besides `step` agrees with diffusers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddpm import DDPMScheduler
from autopipe_components.schedulers.euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from autopipe_components.schedulers.euler_discrete import EulerDiscreteScheduler
from autopipe_components.schedulers.heun_discrete import HeunDiscreteScheduler
from autopipe_components.schedulers.k_dpm_2_ancestral_discrete import (
    KDPM2AncestralDiscreteScheduler,
)
from autopipe_components.schedulers.k_dpm_2_discrete import KDPM2DiscreteScheduler
from autopipe_components.schedulers.lcm import LCMScheduler
from autopipe_components.schedulers.lms_discrete import LMSDiscreteScheduler
from autopipe_components.schedulers.pndm import PNDMScheduler
from autopipe_components.schedulers.tcd import TCDScheduler

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.parity

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
"""One multiplication and one addition in float32."""

BY_TIMESTEP: list[type] = [DDIMScheduler, DDPMScheduler, LCMScheduler, TCDScheduler]
BY_SIGMA: list[type] = [
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    LMSDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
]
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def pair(scheduler: type) -> tuple[Any, Any]:
    return scheduler(**SD), getattr(diffusers, scheduler.__name__)(**SD)


def clean_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    clean, noise = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    return clean, noise


@pytest.mark.parametrize("length", [1, 2])
def test_generator_lists(length: int) -> None:
    results = []
    for made in pair(EulerAncestralDiscreteScheduler):
        made.set_timesteps(5)
        generators = [torch.Generator().manual_seed(seed) for seed in range(length)]
        sample, timestep = torch.ones(2, 3, 4, 4), made.timesteps[0]
        made.scale_model_input(sample, timestep)
        results.append(made.step(sample, timestep, sample, generator=generators).prev_sample)
    torch.testing.assert_close(*results, **TOLERANCE)


@pytest.mark.parametrize("when", ["unset", "before", "during"])
@pytest.mark.parametrize("scheduler", [*BY_TIMESTEP, PNDMScheduler, *BY_SIGMA])
def test_add_noise(scheduler: type, when: str) -> None:
    results = []
    for made in pair(scheduler):
        made.set_timesteps(8)
        clean, noise = clean_and_noise()
        if when != "unset" and hasattr(made, "set_begin_index"):
            made.set_begin_index(4)
        if when == "during":
            for timestep in made.timesteps[4:6]:
                made.step(made.scale_model_input(noise, timestep), timestep, noise)
        results.append(made.add_noise(clean, noise, made.timesteps[4:5].repeat(2)))
    torch.testing.assert_close(*results, **TOLERANCE)


@pytest.mark.parametrize("scheduler", [*BY_TIMESTEP, EulerDiscreteScheduler])
def test_get_velocity(scheduler: type) -> None:
    results = []
    for made in pair(scheduler):
        made.set_timesteps(8)
        results.append(made.get_velocity(*clean_and_noise(), made.timesteps[[2, 5]]))
    torch.testing.assert_close(*results, **TOLERANCE)


@pytest.mark.parametrize("scheduler", [DDPMScheduler, LCMScheduler, TCDScheduler])
def test_previous_timestep(scheduler: type) -> None:
    ours, theirs = pair(scheduler)
    assert ours.previous_timestep(500) == theirs.previous_timestep(500)
    for made in (ours, theirs):
        made.set_timesteps(8)
    for timestep in ours.timesteps:
        assert int(ours.previous_timestep(timestep)) == int(theirs.previous_timestep(timestep))


@pytest.mark.parametrize("scheduler", [*BY_TIMESTEP, PNDMScheduler, *BY_SIGMA])
def test_steps_in_half_precision_keep_their_dtype(scheduler: type) -> None:
    results = []
    for made in pair(scheduler):
        made.set_timesteps(8)
        timestep = made.timesteps[0]
        clean, noise = (part.half() for part in clean_and_noise())
        scaled = made.scale_model_input(noise, timestep)
        results += [scaled, *made.step(clean, timestep, noise, return_dict=False)[1:]]
    half = len(results) // 2
    for mine, reference in zip(results[:half], results[half:]):
        assert mine.dtype == reference.dtype
        # Half precision: ten bits of values up to 20.
        torch.testing.assert_close(mine, reference, atol=2e-2, rtol=2e-3)


@pytest.mark.parametrize("scheduler", [*BY_TIMESTEP, PNDMScheduler, *BY_SIGMA])
def test_saved_configs_load_in_the_other_library(scheduler: type, tmp_path: Any) -> None:
    ours, theirs = pair(scheduler)
    ours.save_config(tmp_path)
    assert dict(type(theirs).load_config(tmp_path)) == {
        **type(theirs).load_config(tmp_path),
        **{key: value for key, value in theirs.config.items() if not key.startswith("_")},
    }
    theirs.save_config(tmp_path)
    config = scheduler.load_config(tmp_path)  # type: ignore[attr-defined]
    torch.testing.assert_close(scheduler.from_config(config).betas, theirs.betas)  # type: ignore[attr-defined]
