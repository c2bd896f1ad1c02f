"""Programs with a loop of their own, made of the pipeline's methods, draw what they drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.own_loops import own_controlnet

import autopipe

from ..conftest import installed, picture

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

KINDS = [
    (family, f"{prefix}ControlNet{task}Pipeline")
    for family, prefix in (("stable_diffusion", "StableDiffusion"), ("sdxl", "StableDiffusionXL"))
    for task in ("", "Img2Img", "Inpaint")
    if installed(family)
]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("guess_mode", [False, True])
def test_own_loop(
    build: Any, reference: Any, record: Any, prompt: Any, count: int, guess_mode: bool
) -> None:
    if not installed("stable_diffusion"):
        pytest.skip("the family stable_diffusion is not installed")
    ours = build(autopipe.StableDiffusionControlNetPipeline)
    theirs = reference(ours)
    embeds, negative = prompt(type(ours), count).values()
    drawn = []
    for library, pipe in ((autopipe, ours), (diffusers, theirs)):
        kind = own_controlnet(library, getattr(library, type(pipe).__name__))
        own = kind(**pipe.components, requires_safety_checker=False)
        images = [picture(n) for n in range(count)]
        generator = torch.Generator().manual_seed(3)
        drawn.append(own(images, embeds, negative, generator, guess_mode))
    # Float32 rounding over a few steps.
    assert record("own loop", *drawn) <= 1e-4


@pytest.mark.parametrize(("family", "name"), KINDS)
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("guided", [(False, False), (True, False), (True, True)])
def test_control_images(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    family: str,
    name: str,
    images: int,
    guided: tuple[bool, bool],
) -> None:
    ours = build(getattr(autopipe, name))
    pictures = [picture(n, 30, 22) for n in range(images)]
    place = ("cpu", torch.float32)
    crop: tuple[Any, ...] = ((4, 2, 20, 18), "fill") if "Inpaint" in name else ()
    method = "prepare_control_image" if "Im" in name or "In" in name else "prepare_image"
    found, expected = (
        getattr(pipe, method)(pictures, 24, 16, 4, 2, *place, *crop, *guided)
        for pipe in (ours, reference(ours))
    )
    assert torch.equal(found, expected)
