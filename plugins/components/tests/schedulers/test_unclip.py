"""The scheduler of priors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddpm import DDPMScheduler
from autopipe_components.schedulers.unclip import UnCLIPScheduler

ONE = torch.ones(1, 6)


@given(steps=st.integers(2, 120), trained=st.integers(120, 1000))
def test_schedules_run_from_the_last_timestep_to_the_first(steps: int, trained: int) -> None:
    made = UnCLIPScheduler(num_train_timesteps=trained)
    made.set_timesteps(steps)
    assert len(made.timesteps) == steps == made.num_inference_steps
    assert made.timesteps[0] == trained - 1
    assert made.timesteps[-1] == 0
    gaps = -made.timesteps.diff()
    # The even distance, rounded at both ends.
    assert (gaps - (trained - 1) / (steps - 1)).abs().max() < 1


@given(start=st.integers(1, 999), data=st.data())
def test_noise_free_steps_to_the_clean_sample_give_the_prediction(
    start: int, data: st.DataObject
) -> None:
    """Whatever lies between, the posterior beyond timestep 0 is the predicted sample itself."""
    made = UnCLIPScheduler(prediction_type="sample", clip_sample=False)
    value = data.draw(st.floats(-3, 3, width=32))
    noisy = torch.full((1, 4), 2.0)
    result = made.step(torch.full((1, 4), value), start, noisy, prev_timestep=-1)
    # Rounding, and the least variance of a step, 1e-20.
    torch.testing.assert_close(result.prev_sample, torch.full((1, 4), value), atol=2e-6, rtol=2e-6)


def test_steps_without_skipping_are_those_of_ddpm() -> None:
    """Without steps left out, the two are the same algorithm."""
    options: dict[str, Any] = {
        "num_train_timesteps": 50,
        "beta_schedule": "squaredcos_cap_v2",
        "clip_sample_range": 2.0,
    }
    samples = []
    for kind in (UnCLIPScheduler, DDPMScheduler):
        made = kind(**options)
        made.set_timesteps(50)
        generator = torch.Generator().manual_seed(0)
        sample = torch.randn(2, 6, generator=generator)
        for timestep in made.timesteps:
            output = torch.tanh(sample)
            sample = made.step(output, timestep, sample, generator=generator).prev_sample
        samples.append(sample)
    # Betas are read here and a quotient there, which leaves 4 of float32's 7 digits.
    torch.testing.assert_close(*samples, atol=1e-3, rtol=1e-3)


def test_a_timestep_is_a_number_or_a_tensor() -> None:
    made = UnCLIPScheduler()
    made.set_timesteps(5)
    first, second = made.timesteps[:2]
    steps = [
        made.step(
            ONE, now, ONE, prev_timestep=after, generator=torch.Generator().manual_seed(0)
        ).prev_sample
        for now, after in ((first, second), (int(first), int(second)))
    ]
    assert torch.equal(*steps)
    before = torch.Generator().manual_seed(0)
    by_default, by_name = (
        made.step(ONE, 500, ONE, generator=before.manual_seed(0), **options).prev_sample
        for options in ({}, {"prev_timestep": 499})
    )
    assert torch.equal(by_default, by_name)


def test_the_last_step_draws_nothing() -> None:
    made = UnCLIPScheduler()
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    previous, original = made.step(ONE, 0, ONE, generator=generator, return_dict=False)
    assert torch.equal(before, generator.get_state())
    # The first beta is 4e-5, of which a difference from 1 keeps 3 digits.
    torch.testing.assert_close(previous, original, atol=0, rtol=1e-3)
    made.step(ONE, 1, ONE, generator=generator)
    assert not torch.equal(before, generator.get_state())


def test_predictions_are_clipped() -> None:
    made = UnCLIPScheduler(prediction_type="sample", clip_sample_range=2.5)
    assert made.step(9 * ONE, 999, ONE).pred_original_sample.max() == 2.5
    free = UnCLIPScheduler.from_config(made.config, clip_sample=False)
    assert free.step(9 * ONE, 999, ONE).pred_original_sample.max() == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta_schedule": "linear"}, "beta_schedule 'linear'"),
        ({"prediction_type": "v_prediction"}, "prediction_type 'v_prediction'"),
        ({"variance_type": "fixed_large"}, "variance_type 'fixed_large'"),
        ({"num_train_timesteps": 0}, "num_train_timesteps"),
    ],
)
def test_options_that_it_has_not(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        UnCLIPScheduler(**options)


def test_calls_that_it_has_not() -> None:
    made = UnCLIPScheduler(variance_type="learned_range")
    with pytest.raises(SchedulerError, match=r"steps is 1.*at least 2 steps"):
        made.set_timesteps(1)
    with pytest.raises(SchedulerError, match="1001 steps"):
        made.set_timesteps(1001)
    with pytest.raises(SchedulerError, match="twice the sample's channels"):
        made.step(ONE, 500, ONE)
    with pytest.raises(SchedulerError, match="from timestep 3 to 5"):
        made.step(ONE, 3, ONE, prev_timestep=5)


def test_it_is_no_stand_in_for_other_schedulers() -> None:
    assert UnCLIPScheduler().compatibles == [UnCLIPScheduler]
    assert UnCLIPScheduler not in DDIMScheduler().compatibles
    assert DDPMScheduler in DDIMScheduler().compatibles
