from __future__ import annotations

import pytest

from autopipe.errors import ArgumentError, SchedulerError
from autopipe_components.steps.timesteps import (
    Schedule,
    check_any_left,
    keep_tail,
    set_schedule,
    start_at,
    stop_at,
)


@pytest.mark.parametrize(
    ("strength", "kept"), [(1.0, 10), (0.99, 9), (0.55, 5), (0.3, 3), (0.1, 1)]
)
def test_strength_keeps_the_last_steps(scheduler, strength, kept):
    tail = keep_tail(scheduler, steps=10, strength=strength)
    assert tail.steps == kept
    assert tail.timesteps.tolist() == scheduler.timesteps[10 - kept :].tolist()
    assert scheduler.begin == 10 - kept


@pytest.mark.parametrize("strength", [0.0, 0.09])
def test_a_strength_that_leaves_no_step(scheduler, strength):
    with pytest.raises(ArgumentError, match="raise strength or num_inference_steps"):
        keep_tail(scheduler, steps=10, strength=strength)


def test_the_index_counts_timesteps_of_second_order_solvers(scheduler):
    scheduler.order = 2
    keep_tail(scheduler, steps=5, strength=0.4)
    assert scheduler.begin == 6


def test_two_models_share_a_schedule(scheduler):
    whole = set_schedule(scheduler, num_inference_steps=10)
    first = stop_at(scheduler, whole, 0.6)
    second = start_at(scheduler, 0.6)
    parts = [*first.timesteps.tolist(), *second.timesteps.tolist()]
    assert parts == scheduler.timesteps.tolist()
    assert scheduler.begin == len(first.timesteps)
    assert first.steps + second.steps == whole.steps


def test_a_number_of_steps(scheduler):
    found = set_schedule(scheduler, num_inference_steps=4)
    assert found.steps == len(found.timesteps) == 4


def test_custom_schedules_that_the_scheduler_does_not_take(scheduler):
    with pytest.raises(SchedulerError, match="LinearScheduler takes no custom sigmas"):
        set_schedule(scheduler, sigmas=[1.0, 0.5])
    with pytest.raises(ArgumentError, match="both"):
        set_schedule(scheduler, timesteps=[1], sigmas=[1.0])
    with pytest.raises(ArgumentError, match="give one"):
        set_schedule(scheduler)


def test_parts_without_a_timestep(scheduler):
    whole = set_schedule(scheduler, num_inference_steps=10)
    assert len(stop_at(scheduler, whole, 0.05).timesteps) == 0
    assert stop_at(scheduler, whole, 0.05).steps == 0
    scheduler.timesteps = scheduler.timesteps[:-1]
    left = start_at(scheduler, 0.95)
    with pytest.raises(ArgumentError, match="no step remains"):
        check_any_left(left)
    check_any_left(whole)


def test_timesteps_before_the_first_whole_step_are_not_counted(scheduler):
    """Some solvers walk more timesteps than they make steps; a cut leaves that as it is."""
    whole = Schedule(scheduler.timesteps, 8)
    assert stop_at(scheduler, whole, 0.5).steps == 3
    assert len(stop_at(scheduler, whole, 0.5).timesteps) == 5
