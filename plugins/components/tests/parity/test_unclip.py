"""The scheduler of priors walks its whole schedule as the one of diffusers does."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from support.public import CHECKPOINTS

from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddpm import DDPMScheduler
from autopipe_components.schedulers.unclip import UnCLIPScheduler

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.parity

# Samples stay within about [-30, 30] and pass through up to 50 float32 evaluations.
TOLERANCE = {"atol": 1e-4, "rtol": 2e-5}

CLIPS = [{"clip_sample_range": 1.0}, {"clip_sample_range": 5.0}, {"clip_sample": False}]


def network(sample: torch.Tensor, timestep: Any, doubled: bool) -> torch.Tensor:
    """Stands for a network: smooth, bounded, and different at each timestep."""
    output = torch.tanh(0.7 * sample + torch.sin(torch.as_tensor(timestep) / 90))
    return torch.cat([output, output.cos()], dim=1) if doubled else output


def walk(scheduler: Any, steps: int, skipping: bool = True) -> list[torch.Tensor]:
    """Every sample on the way along the schedule, which follows; `skipping` says so to `step`."""
    scheduler.set_timesteps(steps)
    doubled = scheduler.config.variance_type == "learned_range"
    generator = torch.Generator().manual_seed(7)
    sample = torch.randn(2, 6, generator=generator) * scheduler.init_noise_sigma
    seen = [sample]
    following = [*scheduler.timesteps[1:], None]
    for timestep, after in zip(scheduler.timesteps, following):
        result = scheduler.step(
            network(sample, timestep, doubled),
            timestep,
            scheduler.scale_model_input(sample, timestep),
            prev_timestep=after if skipping else None,
            generator=generator,
        )
        sample = result.prev_sample
        seen += [sample, result.pred_original_sample]
    return [*seen, scheduler.timesteps]


def assert_same_walk(config: dict[str, Any], **options: Any) -> None:
    ours = walk(UnCLIPScheduler.from_config(config), **options)
    theirs = walk(diffusers.UnCLIPScheduler.from_config(config), **options)
    torch.testing.assert_close(ours, theirs, **TOLERANCE)


@pytest.mark.parametrize("trained", [1000, 60])
@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize("variance", ["fixed_small_log", "learned_range"])
@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
def test_whole_schedules(
    prediction: str, variance: str, clip: dict[str, Any], trained: int
) -> None:
    config = {
        "prediction_type": prediction,
        "variance_type": variance,
        "num_train_timesteps": trained,
        **clip,
    }
    assert_same_walk(config, steps=8)


@pytest.mark.parametrize("skipping", [True, False])
@pytest.mark.parametrize("steps", [2, 3, 7, 25, 50])
def test_step_counts(steps: int, skipping: bool) -> None:
    assert_same_walk({"prediction_type": "sample"}, steps=steps, skipping=skipping)


def test_the_prior_of_kandinsky() -> None:
    file = CHECKPOINTS / "kandinsky-2-1-prior" / "scheduler" / "scheduler_config.json"
    assert_same_walk(json.loads(file.read_text(encoding="utf-8")), steps=25)


def test_defaults_and_noise() -> None:
    ours, theirs = UnCLIPScheduler(), diffusers.UnCLIPScheduler()
    assert {key: value for key, value in ours.config.items() if not key.startswith("_")} == {
        key: value for key, value in theirs.config.items() if not key.startswith("_")
    }
    for name in ("betas", "alphas", "alphas_cumprod", "timesteps"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    samples, noise = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([0, 500, 999])
    torch.testing.assert_close(
        *(made.add_noise(samples, noise, timesteps) for made in (ours, theirs))
    )


@pytest.mark.parametrize("kind", [DDPMScheduler, DDIMScheduler])
def test_configs_of_other_schedulers(kind: Any) -> None:
    """What the other has and this one doesn't know stays, and changes no step."""
    other = getattr(diffusers, kind.__name__)
    options = {"beta_schedule": "squaredcos_cap_v2", "clip_sample_range": 2.0, "thresholding": True}
    ours = UnCLIPScheduler.from_config(kind(**options).config, variance_type="fixed_small_log")
    theirs = diffusers.UnCLIPScheduler.from_config(
        other(**options).config, variance_type="fixed_small_log"
    )
    torch.testing.assert_close(walk(ours, 6), walk(theirs, 6), **TOLERANCE)
    assert kind.from_config(ours.config).config.thresholding
