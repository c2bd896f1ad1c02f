"""When noise is drawn, and what single steps of the schedulers mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddpm import DDPMScheduler
from autopipe_components.schedulers.euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from autopipe_components.schedulers.euler_discrete import EulerDiscreteScheduler
from autopipe_components.schedulers.k_dpm_2_ancestral_discrete import (
    KDPM2AncestralDiscreteScheduler,
)
from autopipe_components.schedulers.lcm import LCMScheduler
from autopipe_components.schedulers.lms_discrete import LMSDiscreteScheduler
from autopipe_components.schedulers.pndm import PNDMScheduler
from autopipe_components.schedulers.tcd import TCDScheduler
from autopipe_components.schedulers.unclip import UnCLIPScheduler


def drawing_steps(scheduler: Any, **step: Any) -> list[bool]:
    """For each step of a schedule, whether it drew from the generator."""
    scheduler.set_timesteps(4)
    generator = torch.Generator().manual_seed(0)
    sample, drew = torch.ones(1, 3, 4, 4), []
    for timestep in scheduler.timesteps:
        before = generator.get_state()
        scaled = scheduler.scale_model_input(sample, timestep)
        scheduler.step(scaled, timestep, sample, generator=generator, **step)
        drew.append(not torch.equal(before, generator.get_state()))
    return drew


def test_which_steps_draw_noise() -> None:
    every, none, all_but_last = [True] * 4, [False] * 4, [True, True, True, False]
    assert drawing_steps(EulerAncestralDiscreteScheduler()) == every
    assert drawing_steps(DDPMScheduler()) == all_but_last
    assert drawing_steps(DDPMScheduler(steps_offset=1)) == every
    assert drawing_steps(LCMScheduler()) == all_but_last
    assert drawing_steps(TCDScheduler()) == all_but_last
    assert drawing_steps(TCDScheduler(), eta=0.0) == none
    assert drawing_steps(DDIMScheduler()) == none
    assert drawing_steps(DDIMScheduler(), eta=0.1) == every
    assert drawing_steps(EulerDiscreteScheduler()) == none
    assert drawing_steps(EulerDiscreteScheduler(), s_churn=1.0) == every
    second_halves = [False, True, False, True, False, True, False]
    assert drawing_steps(KDPM2AncestralDiscreteScheduler()) == second_halves


def test_ddim_with_all_its_noise_is_ddpm() -> None:
    options = {"clip_sample": False}
    noisy, output, fresh = torch.randn(3, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    ddim, ddpm = DDIMScheduler(**options), DDPMScheduler(**options)
    for made in (ddim, ddpm):
        made.set_timesteps(10)
    generator = torch.Generator().manual_seed(5)
    fresh = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(5))
    timestep = ddim.timesteps[4]
    first = ddim.step(output, timestep, noisy, eta=1.0, variance_noise=fresh).prev_sample
    second = ddpm.step(output, timestep, noisy, generator=generator).prev_sample
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "alike"),
    [("fixed_small_log", "fixed_small"), ("fixed_large_log", "fixed_large"), (None, "fixed_small")],
)
def test_ddpm_log_variances_are_the_same_variances(kind: str | None, alike: str) -> None:
    results = []
    for variance in (kind, alike):
        made = DDPMScheduler(variance_type=variance)
        made.set_timesteps(10)
        sample = torch.ones(1, 3, 4, 4)
        generator = torch.Generator().manual_seed(0)
        results.append(made.step(sample, made.timesteps[3], sample, generator=generator)[0])
    torch.testing.assert_close(*results)


def test_ddpm_learned_range_spans_the_fixed_variances() -> None:
    """Predicting -1 is the small variance, predicting 1 the large one."""
    sample = torch.ones(1, 3, 4, 4)

    def stepped(variance: str, predicted: float | None) -> torch.Tensor:
        made = DDPMScheduler(variance_type=variance)
        made.set_timesteps(10)
        extra = [] if predicted is None else [torch.full_like(sample, predicted)]
        output = torch.cat([sample, *extra], dim=1)
        generator = torch.Generator().manual_seed(0)
        return made.step(output, made.timesteps[3], sample, generator=generator)[0]

    small, large = stepped("learned_range", -1.0), stepped("learned_range", 1.0)
    torch.testing.assert_close(small, stepped("fixed_small", None))
    torch.testing.assert_close(large, stepped("fixed_large", None))


def test_pndm_looks_at_the_second_timestep_twice() -> None:
    made = PNDMScheduler(skip_prk_steps=True, steps_offset=1)
    made.set_timesteps(5)
    assert made.timesteps.tolist() == [801, 601, 601, 401, 201, 1]
    warmed = PNDMScheduler()
    warmed.set_timesteps(5)
    assert warmed.timesteps.tolist()[:5] == [800, 700, 700, 600, 600]
    assert len(warmed.timesteps) == 3 * 4 + 2


def test_lms_coefficients_integrate_polynomials_exactly() -> None:
    """The coefficients of a step weigh the values of a cubic to its integral."""
    made = LMSDiscreteScheduler()
    made.set_timesteps(10)
    nodes = made.sigmas.double()

    def cubic(x: Any) -> Any:
        return 2 * x**3 - x**2 + 3

    integral = [x**4 / 2 - x**3 / 3 + 3 * x for x in nodes[[5, 6]]]
    found = sum(made.get_lms_coefficient(4, 5, k) * cubic(nodes[5 - k]) for k in range(4))
    assert float(found) == pytest.approx(float(integral[1] - integral[0]), rel=1e-9)


def test_lcm_starts_at_the_identity() -> None:
    assert LCMScheduler().get_scalings_for_boundary_condition_discrete(0) == (1.0, 0.0)


def test_lcm_ends_without_noise_when_entered_in_the_middle_of_custom_timesteps() -> None:
    made = LCMScheduler()
    made.set_timesteps(timesteps=[999, 759, 499, 259], strength=0.5)
    assert made.timesteps.tolist() == [499, 259]
    sample = torch.ones(1, 3, 4, 4)
    for timestep in made.timesteps:
        result = made.step(sample, timestep, sample)
    assert torch.equal(result.prev_sample, result.denoised)


def test_midpoints_are_finite_where_sigmas_are_huge() -> None:
    made = KDPM2AncestralDiscreteScheduler(beta_schedule="squaredcos_cap_v2")
    made.set_timesteps(8)
    assert made.sigmas[0] > 1e4
    for values in (made.timesteps, made.sigmas_up, made.sigmas_down, made.sigmas_interpol):
        assert values.isfinite().all()


def test_tuples_and_records_hold_the_same() -> None:
    made = DDIMScheduler()
    made.set_timesteps(4)
    sample = torch.ones(1, 3, 4, 4)
    record = made.step(sample, made.timesteps[0], sample)
    plain = made.step(sample, made.timesteps[0], sample, return_dict=False)
    assert torch.equal(record.prev_sample, plain[0])
    assert torch.equal(record["pred_original_sample"], plain[1])


@pytest.mark.parametrize("scheduler", [DDPMScheduler, LCMScheduler, TCDScheduler])
def test_the_timestep_before_a_tensor_is_a_tensor(scheduler: Any) -> None:
    made = scheduler()
    assert made.previous_timestep(5) == 4
    assert made.previous_timestep(torch.tensor([5, 9])).tolist() == [4, 8]
    made.set_timesteps(4)
    first, second, *_, last = made.timesteps
    assert isinstance(made.previous_timestep(first), torch.Tensor)
    assert made.previous_timestep(first) == second == made.previous_timestep(int(first))
    assert made.previous_timestep(last).item() == -1


def test_a_scheduler_of_its_own_kind_is_compatible_with_itself() -> None:
    assert UnCLIPScheduler().compatibles == [UnCLIPScheduler]
    others = DDPMScheduler().compatibles
    assert DDPMScheduler in others
    assert UnCLIPScheduler not in others
