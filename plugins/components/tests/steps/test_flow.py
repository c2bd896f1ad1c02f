"""Schedules along a flow."""

from __future__ import annotations

import math

import pytest
import torch

from autopipe import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from autopipe.errors import ArgumentError, SchedulerError
from autopipe_components.steps.flow import (
    even_levels,
    flow_time,
    keep_flow_tail,
    set_flow_schedule,
    shift_of,
)

SHIFTS = {
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "base_shift": 0.5,
    "max_shift": 1.15,
}


def test_the_shift_is_on_the_line_between_the_two_that_the_scheduler_names():
    assert shift_of(256, SHIFTS) == pytest.approx(0.5)
    assert shift_of(4096, SHIFTS) == pytest.approx(1.15)
    assert shift_of(2176, SHIFTS) == pytest.approx((0.5 + 1.15) / 2)
    with pytest.raises(SchedulerError, match="two different"):
        shift_of(1, {**SHIFTS, "max_image_seq_len": 256})


def test_levels_fall_evenly_and_are_shifted_by_the_number_of_tokens():
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **SHIFTS)
    schedule = set_flow_schedule(scheduler, tokens=256, num_inference_steps=4)
    factor = math.exp(0.5)
    expected = [factor / (factor + 1 / level - 1) for level in even_levels(4)]
    assert schedule.timesteps.tolist() == pytest.approx([1000 * one for one in expected])
    assert schedule.steps == 4
    assert scheduler.begin_index == 0
    more = set_flow_schedule(scheduler, tokens=4096, num_inference_steps=4)
    assert bool((more.timesteps[1:] > schedule.timesteps[1:]).all())
    given = set_flow_schedule(scheduler, tokens=9, num_inference_steps=4, mu=0.5)
    assert torch.equal(given.timesteps, schedule.timesteps)


def test_the_number_of_tokens_does_not_matter_to_a_static_shift():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    few, many = (
        set_flow_schedule(scheduler, tokens=tokens, num_inference_steps=4).timesteps
        for tokens in (16, 4096)
    )
    assert torch.equal(few, many)
    own = set_flow_schedule(scheduler, tokens=16, num_inference_steps=4, even=False).timesteps
    assert not torch.equal(few, own)
    with pytest.raises(SchedulerError, match="leave mu out"):
        set_flow_schedule(scheduler, tokens=16, num_inference_steps=4, mu=1.0)


@pytest.mark.parametrize("scheduler", [DDIMScheduler(), EulerDiscreteScheduler()])
def test_other_schedulers_are_refused(scheduler):
    with pytest.raises(SchedulerError, match="FlowMatchEulerDiscreteScheduler"):
        set_flow_schedule(scheduler, tokens=16, num_inference_steps=4)


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchHeunDiscreteScheduler(),
        UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
    ],
)
def test_schedulers_of_flows_that_take_no_levels_have_their_own(scheduler):
    schedule = set_flow_schedule(scheduler, tokens=16, num_inference_steps=4)
    assert schedule.steps == 4
    assert len(schedule.timesteps) == (7 if scheduler.order == 2 else 4)


def test_strength_trims_the_front_rounding_the_rest_up():
    scheduler = FlowMatchEulerDiscreteScheduler()
    whole = set_flow_schedule(scheduler, tokens=16, num_inference_steps=10).timesteps
    kept = keep_flow_tail(scheduler, steps=10, strength=0.35)
    assert kept.steps == 4
    assert torch.equal(kept.timesteps, whole[6:])
    assert scheduler.begin_index == 6
    assert keep_flow_tail(scheduler, steps=10, strength=1.0).steps == 10
    with pytest.raises(ArgumentError, match="nothing to do"):
        keep_flow_tail(scheduler, steps=10, strength=0.0)


def test_solvers_of_order_two_are_trimmed_by_whole_steps():
    scheduler = FlowMatchHeunDiscreteScheduler()
    whole = set_flow_schedule(scheduler, tokens=16, num_inference_steps=4).timesteps
    kept = keep_flow_tail(scheduler, steps=4, strength=0.5)
    assert torch.equal(kept.timesteps, whole[4:])


def test_a_time_goes_from_0_to_1_for_each_sample():
    found = flow_time(torch.tensor(250.0), torch.zeros(3, 2, dtype=torch.float16))
    assert found.tolist() == [0.25] * 3
    assert found.dtype == torch.float16
