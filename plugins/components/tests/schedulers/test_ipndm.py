from __future__ import annotations

import math

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.ipndm import IPNDMScheduler


def test_a_network_that_knows_the_sound_leads_to_it() -> None:
    """At pure noise its weight is zero, so the first step can't use it; the others make it up."""
    scheduler = IPNDMScheduler()
    sound, noise = torch.randn(2, 1, 2, 5, generator=torch.Generator().manual_seed(0)).double()
    scheduler.set_timesteps(40)
    assert (len(scheduler.timesteps), float(scheduler.timesteps[0])) == (40, 1.0)
    sample = noise
    for timestep in scheduler.timesteps:
        angle = timestep.double() * math.pi / 2
        seen = (sample - angle.cos() * sound) / angle.sin()
        velocity = angle.cos() * seen - angle.sin() * sound
        sample = scheduler.step(velocity, timestep, sample).prev_sample
    torch.testing.assert_close(sample, sound, rtol=0, atol=1e-5)


def test_noise_is_added_at_any_time() -> None:
    sound, noise = torch.randn(2, 3, 2, 5)
    made = IPNDMScheduler().add_noise(sound, noise, torch.tensor([0.0, 1.0, 0.5]))
    for got, expected in zip(made, (sound[0], noise[1], (sound[2] + noise[2]) * 0.5**0.5)):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("betas", [[0.5], [2.0, 0.0], []])
def test_betas_that_are_no_schedule(betas: list[float]) -> None:
    with pytest.raises(SchedulerError, match="trained_betas"):
        IPNDMScheduler(trained_betas=betas)


def test_times_outside_the_range_are_refused() -> None:
    ones = torch.ones(1, 2, 3)
    with pytest.raises(SchedulerError, match="has the timesteps 1 to 0"):
        IPNDMScheduler().add_noise(ones, ones, torch.tensor([1.5]))
