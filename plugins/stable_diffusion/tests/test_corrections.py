"""What old configs have wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autopipe import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)


@pytest.mark.parametrize("kind", [StableDiffusionPipeline, StableDiffusionImg2ImgPipeline])
def test_offset_and_clipping_are_corrected_in_a_copy(build: Callable[..., Any], kind: Any) -> None:
    old = DDIMScheduler(clip_sample=True, steps_offset=0)
    pipe = build(kind, scheduler=old)
    assert (pipe.scheduler.config.steps_offset, pipe.scheduler.config.clip_sample) == (1, False)
    assert (old.config.steps_offset, old.config.clip_sample) == (0, True)
    pipe.scheduler.set_timesteps(10)
    old.set_timesteps(10)
    assert (pipe.scheduler.timesteps - old.timesteps).tolist() == [1] * 10


def test_inpainting_corrects_other_options(build: Callable[..., Any]) -> None:
    old = PNDMScheduler(skip_prk_steps=False)
    config = build(StableDiffusionInpaintPipeline, scheduler=old).scheduler.config
    assert (config.skip_prk_steps, config.steps_offset) == (True, 1)
    assert old.config.skip_prk_steps is False
    clipped = build(StableDiffusionInpaintPipeline, scheduler=DDIMScheduler(steps_offset=1))
    assert clipped.scheduler.config.clip_sample is True


def test_a_sound_scheduler_stays_itself(build: Callable[..., Any]) -> None:
    sound = DDIMScheduler(clip_sample=False, steps_offset=1)
    assert build(StableDiffusionPipeline, scheduler=sound).scheduler is sound


def test_a_scheduler_set_later_is_not_corrected(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionPipeline)
    pipe.scheduler = EulerDiscreteScheduler(steps_offset=0)
    assert pipe.scheduler.config.steps_offset == 0


@pytest.mark.parametrize(
    ("version", "size", "corrected"),
    [
        ("0.6.0", 8, 64),
        ("0.8.1", 8, 64),
        ("0.9.0", 8, 8),
        ("0.10.0.dev0", 8, 8),
        ("1.0", 8, 8),
        (None, 8, 8),
        ("0.6.0", 96, 96),
    ],
)
def test_the_sample_size_of_old_configs(
    build: Callable[..., Any],
    unets: Callable[..., Any],
    version: str | None,
    size: int,
    corrected: int,
) -> None:
    unet = UNet2DConditionModel.from_config(unets().config, sample_size=size)
    unet.register_to_config(_diffusers_version=version)
    pipe = build(StableDiffusionPipeline, unet=unet)
    assert unet.config.sample_size == corrected
    assert pipe.default_size() == (corrected * 2, corrected * 2)
