"""Programs with a loop of their own, made of the pipeline's methods, draw what they drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.own_loops import own_xl
from support.pictures import picture

import autopipe

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")


@pytest.mark.parametrize("name", ["StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"])
def test_own_loops(build: Any, reference: Any, record: Any, name: str) -> None:
    ours = build(getattr(autopipe, name))
    theirs = reference(ours)
    images = {"image": picture()} if "Img2Img" in name else {}
    drawn = []
    for library, pipe in ((autopipe, ours), (diffusers, theirs)):
        own = own_xl(library, getattr(library, name))(**pipe.components)
        own.set_progress_bar_config(disable=True)
        drawn.append(own("a cat", torch.Generator().manual_seed(3), **images))
    # Float32 rounding over a few steps.
    assert record(f"{name}, own loop", *drawn) <= 1e-4


def test_scores_of_refiners(build: Any, refiner: Any, reference: Callable[[Any], Any]) -> None:
    ours = build(autopipe.StableDiffusionXLImg2ImgPipeline, **refiner)
    sizes = ((16, 16), (0, 4), (16, 16))
    given = (*sizes, 6.0, 2.5, (8, 8), (2, 2), (4, 4), torch.float32, 10)
    for one, other in zip(*(pipe._get_add_time_ids(*given) for pipe in (ours, reference(ours)))):
        assert torch.equal(one, other)


@pytest.mark.parametrize("strength", [True, False])
@pytest.mark.parametrize("add_noise", [True, False])
def test_starts_of_inpainting(
    build: Any, reference: Callable[[Any], Any], strength: bool, add_noise: bool
) -> None:
    ours = build(autopipe.StableDiffusionXLInpaintPipeline)
    pixels = ours.image_processor.preprocess(picture())
    found = []
    for pipe in (ours, reference(ours)):
        pipe.scheduler.set_timesteps(4)
        generator = torch.Generator().manual_seed(3)
        found.append(
            pipe.prepare_latents(
                2, 4, 16, 16, torch.float32, "cpu", generator, None, pixels,
                pipe.scheduler.timesteps[:1], strength, add_noise=add_noise, return_noise=True,
                return_image_latents=True,
            )
        )  # fmt: skip
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
