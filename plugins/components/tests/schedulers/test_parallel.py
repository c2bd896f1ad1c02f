"""A step of a batch is the step of each of its samples, without noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.ddim_parallel import DDIMParallelScheduler
from autopipe_components.schedulers.ddpm_parallel import DDPMParallelScheduler

OUTPUT, SAMPLE = torch.randn(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_ddim(kind: str) -> None:
    made = DDIMParallelScheduler(prediction_type=kind)
    made.set_timesteps(10)
    at = made.timesteps[[0, 4, 9]]
    found = made.batch_step_no_noise(OUTPUT, at, SAMPLE)
    each = [
        made.step(one[None], timestep, sample[None]).prev_sample
        for one, timestep, sample in zip(OUTPUT, at, SAMPLE)
    ]
    torch.testing.assert_close(found, torch.cat(each))


def test_ddpm_adds_nothing_where_a_step_adds_nothing() -> None:
    made = DDPMParallelScheduler()
    made.set_timesteps(10)
    last = made.timesteps[-1:]
    found = made.batch_step_no_noise(OUTPUT[:1], last, SAMPLE[:1])
    torch.testing.assert_close(found, made.step(OUTPUT[:1], last, SAMPLE[:1]).prev_sample)


@pytest.mark.parametrize("timesteps", [[1000, 1, 2], [0.5, 1.0, 2.0], [-1, 2, 3], "x"])
@pytest.mark.parametrize("scheduler", [DDIMParallelScheduler, DDPMParallelScheduler])
def test_timesteps_that_are_none(scheduler: Any, timesteps: Any) -> None:
    made = scheduler()
    made.set_timesteps(10)
    with pytest.raises(SchedulerError):
        made.batch_step_no_noise(OUTPUT, timesteps, SAMPLE)


def test_noise_is_refused() -> None:
    made = DDIMParallelScheduler()
    made.set_timesteps(10)
    with pytest.raises(SchedulerError, match="leave out eta"):
        made.batch_step_no_noise(OUTPUT, made.timesteps[:3], SAMPLE, eta=0.5)
