"""Flow schedulers end at the sample, and their levels are shifted as said."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.flow.euler import FlowMatchEulerDiscreteScheduler
from autopipe_components.schedulers.flow.heun import FlowMatchHeunDiscreteScheduler
from autopipe_components.schedulers.flow.lcm import FlowMatchLCMScheduler

EULER, LCM = FlowMatchEulerDiscreteScheduler, FlowMatchLCMScheduler
ALL: list[Any] = [EULER, FlowMatchHeunDiscreteScheduler, LCM]
ONE = torch.ones(1, 3, 4, 4)


@pytest.mark.parametrize("options", [{}, {"shift": 3.0}])
@pytest.mark.parametrize("scheduler", ALL)
def test_a_network_that_knows_the_answer_is_believed(
    scheduler: Any, options: dict[str, float], walk: Callable[..., torch.Tensor]
) -> None:
    clean = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)
    made = scheduler(**options)

    def velocity(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return (sample - clean) / (timestep / 1000)

    found = walk(made, velocity, steps=7, shape=(1, 3, 4, 4))
    torch.testing.assert_close(found, clean, atol=2e-5, rtol=0)


@given(shift=st.floats(0.2, 8), count=st.integers(1, 30))
def test_the_shift_of_a_config_counts_twice(shift: float, count: int) -> None:
    """The range is that of shifted levels, and the grid in it is shifted again."""
    made = EULER(shift=shift)
    made.set_timesteps(count)

    def shifted(level: Any) -> Any:
        return shift * level / (1 + (shift - 1) * level)

    expected = shifted(np.linspace(1, shifted(1 / 1000), count))
    np.testing.assert_allclose(made.sigmas[:-1].numpy(), expected, rtol=1e-5)
    assert made.sigmas[-1] == 0


@given(shift=st.floats(0.2, 8), kind=st.sampled_from(["exponential", "linear"]))
def test_given_levels_are_shifted_once_by_either_kind(shift: float, kind: str) -> None:
    levels = [1.0, 0.6, 0.25, 0.05]
    static, dynamic = EULER(shift=shift), EULER(use_dynamic_shifting=True, time_shift_type=kind)
    static.set_timesteps(sigmas=levels)
    dynamic.set_timesteps(sigmas=levels, mu=math.log(shift) if kind == "exponential" else shift)
    torch.testing.assert_close(static.sigmas, dynamic.sigmas)
    torch.testing.assert_close(static.timesteps, static.sigmas[:-1] * 1000)


def test_a_schedule_is_stretched_to_its_terminal_level() -> None:
    made = EULER(shift=3.0, shift_terminal=0.1)
    made.set_timesteps(6)
    assert made.sigmas[-2] == pytest.approx(0.1)
    assert made.sigmas[0] == 1


def test_set_shift_concerns_the_next_schedule() -> None:
    made, other = EULER(), EULER()
    made.set_shift(4.0)
    for one in (made, other):
        one.set_timesteps(sigmas=[0.5])
    assert made.shift == 4.0
    assert made.sigmas[0] == pytest.approx(0.8)
    assert other.sigmas[0] == 0.5


def test_noise_is_mixed_in_by_the_level() -> None:
    made = EULER()
    made.set_timesteps(4)
    noised = made.add_noise(torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), made.timesteps[1:3])
    torch.testing.assert_close(noised[:, 0, 0, 0], made.sigmas[1:3])
    made.set_begin_index(3)
    assert made.scale_noise(ONE * 0, made.timesteps[:1], ONE)[0, 0, 0, 0] == made.sigmas[3]


def test_a_sample_grows_from_step_to_step() -> None:
    made = LCM(scale_factors=[1.5, 2.0])
    made.set_timesteps(3)
    sample, sizes = torch.ones(1, 3, 4, 4), []
    for timestep in made.timesteps:
        sample = made.step(sample * 0, timestep, sample).prev_sample
        sizes.append(tuple(sample.shape[2:]))
    assert sizes == [(6, 6), (8, 8), (8, 8)]
    made.set_timesteps(5)
    with pytest.raises(SchedulerError, match="take 3 steps"):
        made.step(ONE, made.timesteps[0], ONE)


def test_samples_are_resized_to_a_cell_at_least_by_a_filter_that_fits() -> None:
    made = LCM(scale_factors=[0.01])
    made.set_timesteps(2)
    assert made.step(ONE, made.timesteps[0], ONE).prev_sample.shape == (1, 3, 1, 1)
    made = LCM(scale_factors=[2.0], upscale_mode="linear")
    made.set_timesteps(2)
    with pytest.raises(SchedulerError, match="'linear', which takes 3"):
        made.step(ONE, made.timesteps[0], ONE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EULER(use_dynamic_shifting=True).set_timesteps(4), "needs mu"),
        (lambda: EULER().set_timesteps(), "got none"),
        (lambda: EULER().set_timesteps(3, sigmas=[1.0, 0.5]), r"one length; it got \[2, 3\]"),
        (lambda: EULER().set_timesteps(sigmas=[1.0, 2.0]), "descend"),
        (lambda: EULER().set_timesteps(sigmas=[1.5, 0.5]), "from 0 to 1"),
        (lambda: EULER(shift_terminal=0.1).set_timesteps(1), "more steps"),
        (lambda: EULER(shift=0.0), "shift"),
        (lambda: EULER(time_shift_type="cosine"), "time_shift_type"),
        (lambda: EULER(use_karras_sigmas=True, use_beta_sigmas=True), "at most one"),
        (lambda: LCM(upscale_mode="lanczos"), "upscale_mode"),
        (lambda: LCM().set_scale_factors([1.0, -2.0], "area"), "scale_factors"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        call()
