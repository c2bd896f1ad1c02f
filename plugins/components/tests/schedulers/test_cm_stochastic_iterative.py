from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.cm_stochastic_iterative import (
    CMStochasticIterativeScheduler,
)

ONE = torch.full((1, 3, 2, 2), 0.5)


def ready(**schedule: Any) -> CMStochasticIterativeScheduler:
    scheduler = CMStochasticIterativeScheduler()
    scheduler.set_timesteps(**schedule)
    return scheduler


def test_the_first_level_is_the_highest_and_the_last_step_adds_no_noise() -> None:
    scheduler = ready(num_inference_steps=4)
    assert scheduler.init_noise_sigma == 80.0
    torch.testing.assert_close(scheduler.sigmas[0], torch.tensor(80.0))
    torch.testing.assert_close(scheduler.timesteps[0], 250 * torch.tensor(80.0).log())
    assert (scheduler.sigmas.diff() < 0).all()
    last = scheduler.timesteps[-1]
    made = []
    for seed in (0, 1):
        scheduler.set_begin_index(3)
        scheduler._step_index = None
        scheduler.scale_model_input(ONE, last)
        generator = torch.Generator().manual_seed(seed)
        made.append(scheduler.step(ONE, last, ONE, generator)[0])
    # The square of the lowest level is rounded in float32.
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=1e-5)


def test_at_the_lowest_level_the_clean_sample_is_the_sample() -> None:
    assert CMStochasticIterativeScheduler().get_scalings_for_boundary_condition(0.002) == (1, 0)


def test_a_custom_schedule_visits_levels_counted_from_the_highest() -> None:
    levels = CMStochasticIterativeScheduler().sigmas
    torch.testing.assert_close(ready(timesteps=[39, 22, 0]).sigmas[:3], levels[[0, 22, 39]])


def test_a_single_step_draws_no_noise() -> None:
    scheduler = ready(num_inference_steps=1)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    (timestep,) = scheduler.timesteps
    scheduler.scale_model_input(ONE, timestep)
    scheduler.step(ONE, timestep, ONE, generator)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"num_inference_steps": 41}, "can't take 41 steps"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"timesteps": [0, 22]}, "descend"),
        ({"timesteps": [22, 22, 0]}, "descend"),
        ({"timesteps": [2.5, 0]}, "whole numbers"),
        ({"timesteps": [40, 0]}, "from 0 to 39"),
        ({"timesteps": [3, 0], "num_inference_steps": 2}, "exactly one"),
    ],
)
def test_schedules_that_do_not_exist(schedule: dict[str, Any], said: str) -> None:
    with pytest.raises(SchedulerError, match=said):
        ready(**schedule)


def test_levels_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(SchedulerError, match=r"sigma_min=5 and sigma_max=2.* in this order"):
        CMStochasticIterativeScheduler(sigma_min=5.0, sigma_max=2.0)
