"""Inpainting against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import mask, picture

from autopipe import FlowMatchEulerDiscreteScheduler
from autopipe import StableDiffusion3InpaintPipeline as Pipe

pytestmark = pytest.mark.parity

CHANNELS = pytest.mark.parametrize("channels", [16, 33])
LATENTS = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def paint(compare: Callable[..., Any], transformers: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` with a picture, a mask, and a transformer of so many channels."""

    def run(channels: int, prompt: Any = "a cat", **call: Any) -> Any:
        given = {"transformer": transformers(in_channels=channels), **call.pop("components", {})}
        call = {"image": picture(), "mask_image": mask(), "max_sequence_length": 6, **call}
        return compare(Pipe, prompt, components=given, **call)

    return run


@CHANNELS
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"strength": 1.0, "negative_prompt": "dog"},
        {"strength": 0.61, "num_inference_steps": 5, "guidance_scale": 1.0},
        {"num_images_per_prompt": 2, "height": 8, "width": 12},
        {"prompt": ["a", "b"], "image": [picture(), picture(seed=3)], "seed": [3, 4]},
        {"prompt": ["a", "b"], "seed": [3, 4]},
        {"padding_mask_crop": 2, "output_type": "pil"},
        {"latents": LATENTS[:1]},
        {"output_type": "latent"},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(paint: Callable[..., Any], channels: int, call: dict[str, Any]) -> None:
    paint(channels, **call)


def test_the_masked_image_given_as_latents(paint: Callable[..., Any]) -> None:
    plain = paint(33)
    given = paint(33, masked_image_latents=LATENTS[1:])
    assert np.abs(given - plain).max() > 1e-3


def test_an_image_given_as_latents(paint: Callable[..., Any]) -> None:
    # Without the other one, diffusers multiplies them by the mask in pixels.
    paint(16, image=LATENTS[:1], masked_image_latents=LATENTS[1:])


def test_a_schedule_that_depends_on_the_size(paint: Callable[..., Any]) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    paint(16, components={"scheduler": scheduler}, mu=1.5)


def test_parameters_change_the_image(paint: Callable[..., Any]) -> None:
    plain = paint(16)
    calls: list[dict[str, Any]] = [
        {"strength": 1.0},
        {"image": picture(seed=3)},
        {"mask_image": mask().rotate(90)},
    ]
    for call in calls:
        assert np.abs(paint(16, **call) - plain).max() > 1e-3, call
