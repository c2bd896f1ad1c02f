"""The schedulers that only these pipelines use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import DDIMScheduler, KarrasVeScheduler, RePaintScheduler, ScoreSdeVeScheduler
from autopipe.errors import SchedulerError

SHAPE = (2, 3, 4, 4)


def noise(number: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(number))


def walk(scheduler: Any, clean: torch.Tensor, seed: Callable[[int], Any]) -> torch.Tensor:
    """The end of a walk with a network that knows the clean sample."""
    scheduler.set_timesteps(10, 3, 2)
    kept = (torch.arange(4) < 2).float().expand(2, 1, 4, 4)
    sample, last = noise(1), None
    for timestep in scheduler.timesteps:
        if last is not None and timestep > last:
            sample = scheduler.undo_step(sample, last, seed(int(timestep)))
        else:
            bar = scheduler.alphas_cumprod[timestep]
            drawn = (sample - bar.sqrt() * clean) / (1 - bar).sqrt()
            velocity = bar.sqrt() * drawn - (1 - bar).sqrt() * clean
            kind = scheduler.config.get("prediction_type")
            told = velocity if kind == "v_prediction" else drawn
            sample = scheduler.step(told, timestep, sample, clean, kept, seed(2)).prev_sample
        last = timestep
    return sample


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_repaint_reads_what_networks_predict(seed: Callable[[int], Any], kind: str) -> None:
    clean = noise(5).clamp(-1, 1)
    scheduler = RePaintScheduler.from_config(DDIMScheduler(prediction_type=kind).config)
    torch.testing.assert_close(walk(scheduler, clean, seed), clean, rtol=1e-3, atol=1e-3)


def test_no_other_scheduler_is_replaced_by_these() -> None:
    own = (KarrasVeScheduler, RePaintScheduler, ScoreSdeVeScheduler)
    assert not {*own} & {*DDIMScheduler().compatibles}
    assert DDIMScheduler in RePaintScheduler().compatibles
    for kind in (KarrasVeScheduler, ScoreSdeVeScheduler):
        assert kind().compatibles == [kind]


def test_repaint_without_jumps_descends() -> None:
    scheduler = RePaintScheduler()
    scheduler.set_timesteps(7, 10, 1)
    assert (scheduler.timesteps.diff() < 0).all()
    scheduler.set_timesteps(9, 3, 2)
    assert (scheduler.timesteps.diff() > 0).sum() == 6


@pytest.mark.parametrize("steps", [(0, 1, 1), (10, 0, 1), (10, 1, 0), (1000, 1, 100)])
def test_schedules_of_repaint_that_can_not_be(steps: tuple[int, int, int]) -> None:
    with pytest.raises(SchedulerError):
        RePaintScheduler().set_timesteps(*steps)


def test_a_config_of_repaint_with_an_unknown_prediction() -> None:
    scheduler = RePaintScheduler.from_config({"prediction_type": "magic"})
    with pytest.raises(SchedulerError, match="prediction_type"):
        scheduler.set_timesteps(5)


def test_noise_levels_of_the_sde_fall_to_the_lowest() -> None:
    scheduler = ScoreSdeVeScheduler(sigma_min=0.1, sigma_max=10.0)
    scheduler.set_timesteps(5)
    scheduler.set_sigmas(5)
    torch.testing.assert_close(scheduler.sigmas[0], torch.tensor(10.0))
    torch.testing.assert_close(scheduler.sigmas[-1], torch.tensor(0.1), rtol=1e-3, atol=0)
    assert torch.equal(scheduler.discrete_sigmas, scheduler.discrete_sigmas.sort().values)
    for wrong in (-0.5, 1.5):
        with pytest.raises(SchedulerError, match="from 0 to 1"):
            scheduler.step_pred(noise(1), wrong, noise(2))
    with pytest.raises(SchedulerError, match="timesteps 0 to 4"):
        scheduler.add_noise(noise(1), noise(2), torch.tensor([0, 5]))


@pytest.mark.parametrize("kind", [KarrasVeScheduler, ScoreSdeVeScheduler])
def test_noise_levels_that_can_not_be(kind: Any) -> None:
    for lowest, highest in ((5.0, 1.0), (1e-300, 1e-300), (0.0, 1.0)):
        with pytest.raises(SchedulerError, match=f"sigma_min={lowest:g}.* in this order"):
            kind(sigma_min=lowest, sigma_max=highest)


def test_churn_is_limited_to_a_range_of_levels(seed: Callable[[int], Any]) -> None:
    scheduler = KarrasVeScheduler(s_min=1.0, s_max=2.0)
    scheduler.set_timesteps(10)
    for sigma, factor in ((0.5, 1.0), (1.5, 2**0.5), (3.0, 1.0)):
        sample, higher = scheduler.add_noise_to_input(noise(1), sigma, seed(2))
        assert higher == pytest.approx(sigma * factor)
        assert torch.equal(sample, noise(1)) == (factor == 1.0)
    with pytest.raises(SchedulerError, match="forward process"):
        scheduler.add_noise(noise(1), noise(2), torch.tensor([1]))


def test_a_single_step_of_karras_is_finite() -> None:
    scheduler = KarrasVeScheduler()
    scheduler.set_timesteps(1)
    assert scheduler.schedule.tolist() == [10_000.0]
