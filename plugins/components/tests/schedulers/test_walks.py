"""What holds for every scheduler: it ends at the clean sample, and its state is its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
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
from autopipe_components.schedulers.spacing import SPACINGS
from autopipe_components.schedulers.tcd import TCDScheduler

SIGMA: list[Any] = [
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    LMSDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
]
PLAIN: list[Any] = [PNDMScheduler, DDIMScheduler, DDPMScheduler, LCMScheduler, TCDScheduler]
ALL = SIGMA + PLAIN
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def make(scheduler: Any, **options: Any) -> Any:
    """One that ends at a clean sample and bounds nothing on the way."""
    known = inspect.signature(scheduler).parameters
    ends = {"set_alpha_to_one": True, "clip_sample": False}
    return scheduler(**SD, **{k: v for k, v in ends.items() if k in known}, **options)


def smooth(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return torch.tanh(sample + torch.sin(timestep.float() / 90))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("scheduler", ALL)
def test_a_network_that_knows_the_answer_is_believed(
    scheduler: Any, spacing: str, walk: Callable[..., torch.Tensor]
) -> None:
    clean = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)
    made = make(scheduler, prediction_type="sample", timestep_spacing=spacing)
    found = walk(made, lambda sample, timestep: clean, steps=8, shape=(1, 3, 4, 4))
    # Distilled schedulers stop at timestep 0, whose noise level is 0.03.
    slack = {LCMScheduler: 0.01, TCDScheduler: 0.15}.get(scheduler, 2e-4)
    torch.testing.assert_close(found, clean, atol=slack, rtol=0)


@pytest.mark.parametrize("scheduler", ALL)
def test_a_copy_walks_alike_and_leaves_the_original_alone(
    scheduler: Any, walk: Callable[..., torch.Tensor]
) -> None:
    prototype = make(scheduler)
    prototype.set_timesteps(4)
    before = dict(vars(prototype))
    torch.manual_seed(1)
    first = walk(prototype.copy(), smooth, steps=7)
    torch.manual_seed(1)
    second = walk(prototype.copy(), smooth, steps=7)
    assert torch.equal(first, second)
    assert all(vars(prototype)[name] is value for name, value in before.items())
    assert prototype.num_inference_steps == 4
    assert not any(isinstance(v, list) and v for v in vars(prototype).values())


@pytest.mark.parametrize("scheduler", ALL)
def test_a_copy_in_mid_walk_goes_on_alike(scheduler: Any) -> None:
    made = make(scheduler)
    made.set_timesteps(8)
    sample = torch.ones(1, 3, 4, 4)
    for timestep in made.timesteps[:5]:
        made.step(made.scale_model_input(sample, timestep) * 0.9, timestep, sample)
    results = []
    for twin in (made.copy(), made.copy()):
        torch.manual_seed(0)
        for timestep in made.timesteps[5:7]:
            scaled = twin.scale_model_input(sample, timestep)
            results.append(twin.step(scaled * 0.9, timestep, sample)[0])
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])


@pytest.mark.parametrize("scheduler", ALL)
def test_threads_give_what_serial_calls_give(
    scheduler: Any, walk: Callable[..., torch.Tensor]
) -> None:
    prototype = make(scheduler)
    draws = "generator" in inspect.signature(prototype.step).parameters

    def call(seed: int) -> torch.Tensor:
        step = {"generator": torch.Generator().manual_seed(seed)} if draws else {}
        return walk(prototype.copy(), smooth, steps=4 + seed, seed=seed, **step)

    serial = [call(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert all(torch.equal(*pair) for pair in zip(pool.map(call, range(6)), serial))


@pytest.mark.parametrize(
    ("scheduler", "rate"),
    [
        (EulerDiscreteScheduler, 1.8),
        (LMSDiscreteScheduler, 6.0),
        (HeunDiscreteScheduler, 3.5),
        (KDPM2DiscreteScheduler, 3.5),
    ],
)
def test_errors_fall_at_the_rate_of_the_order(
    scheduler: Any, rate: float, walk: Callable[..., torch.Tensor]
) -> None:
    """Data of one Gaussian has a known flow: x keeps its quantile, so it shrinks by a factor.

    Half the step leaves half the error at order 1, a quarter at order 2, a sixteenth at order 4
    (less the first steps of a multistep, which are of lower order).
    """
    spread = 0.5
    made = make(scheduler, use_karras_sigmas=True)
    levels = np.log(made._train_sigmas())

    def network(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        sigma = float(np.exp(np.interp(float(timestep), np.arange(1000), levels)))
        exploding = sample * (sigma**2 + 1) ** 0.5
        return exploding * sigma / (spread**2 + sigma**2)

    def error(steps: int) -> float:
        found = walk(made, network, steps)
        made.set_timesteps(steps)
        highest, lowest = (float(made.sigmas[made.sigmas > 0].aminmax()[i]) for i in (1, 0))
        start = walk(made, lambda sample, timestep: torch.zeros_like(sample), steps)
        wide, narrow = ((spread**2 + sigma**2) ** 0.5 for sigma in (highest, lowest))
        # The last step, from the lowest level to zero, follows the tangent.
        exact = start * (narrow / wide) * (spread / narrow) ** 2
        return float((found - exact).abs().max())

    assert error(10) / error(20) > rate


@pytest.mark.parametrize("scheduler", ALL)
def test_added_noise_has_the_level_of_its_timestep(scheduler: Any) -> None:
    made = make(scheduler)
    made.set_timesteps(8)
    noise = torch.ones(2, 3, 4, 4)
    at = made.timesteps[[2, 6]]  # no midpoints
    added = made.add_noise(torch.zeros_like(noise), noise, at)
    bar = made.alphas_cumprod
    levels = ((1 - bar) / bar) ** 0.5 if scheduler in SIGMA else (1 - bar) ** 0.5
    expected = np.interp(at.numpy(), np.arange(1000), levels.numpy())
    np.testing.assert_allclose(added[:, 0, 0, 0].numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("scheduler", SIGMA)
def test_noise_is_added_where_the_schedule_stands(scheduler: Any) -> None:
    made = make(scheduler)
    made.set_timesteps(8)
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    made.set_begin_index(4)
    assert made.add_noise(zero, one, made.timesteps[:1]) == made.sigmas[4]
    made.scale_model_input(one, made.timesteps[4])
    made.step(one, made.timesteps[4], one)
    assert made.add_noise(zero, one, made.timesteps[:1]) == made.sigmas[5]
    assert made.begin_index == 4
    assert made.step_index == 5
