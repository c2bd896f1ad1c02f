"""DDPM on continuous times."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.ddpm_wuerstchen import DDPMWuerstchenScheduler

ONE = torch.ones(1, 3, 4, 4)


@pytest.mark.parametrize("scaler", [0.5, 1.0, 2.0])
def test_a_network_that_knows_the_answer_is_believed(scaler: float) -> None:
    clean = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)
    made = DDPMWuerstchenScheduler(scaler=scaler)
    made.set_timesteps(30)
    source = torch.Generator().manual_seed(0)
    sample = torch.randn(clean.shape, generator=source)
    for timestep in made.timesteps[:-1]:
        noised = [made.add_noise(clean, torch.full_like(clean, n), timestep) for n in (0, 1)]
        noise = (sample - noised[0]) / (noised[1] - noised[0])
        sample = made.step(noise, timestep, sample, generator=source).prev_sample
    # The last time has an alpha_bar of 0.9999.
    torch.testing.assert_close(sample, clean, atol=0.02, rtol=0)


def ready() -> DDPMWuerstchenScheduler:
    made = DDPMWuerstchenScheduler()
    made.set_timesteps(4)
    return made


def test_there_is_one_time_more_than_steps() -> None:
    made = ready()
    assert made.timesteps.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert len(made) == 5
    assert made.previous_timestep(torch.tensor([0.75, 0.75])).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DDPMWuerstchenScheduler(scaler=0.0), "scaler"),
        (lambda: ready().set_timesteps(), "exactly one"),
        (lambda: ready().set_timesteps(timesteps=[1.0]), "at least two"),
        (lambda: ready().set_timesteps(timesteps=[999.0, 1.0]), "from 0 to 1"),
        (lambda: ready().step(ONE, torch.tensor([0.0]), ONE), "leave it out"),
        (lambda: ready().step(ONE, torch.tensor([999]), ONE), "from 0 to 1"),
        (lambda: ready().step(ONE, "x", ONE), "from 0 to 1"),  # type: ignore[arg-type]
        (lambda: ready().add_noise(ONE, ONE, torch.tensor([2.0])), "from 0 to 1"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        call()
