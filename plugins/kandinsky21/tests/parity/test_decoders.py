"""The decoders against diffusers, seed for seed, with every parameter of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.image_embeddings import SCHEDULE, embeds
from support.pictures import mask, picture, tensor

from autopipe import (
    DDPMScheduler,
    KandinskyImg2ImgPipeline,
    KandinskyInpaintPipeline,
    KandinskyPipeline,
)

pytestmark = pytest.mark.parity

LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))

KINDS: dict[Any, dict[str, Any]] = {
    KandinskyPipeline: {},
    KandinskyImg2ImgPipeline: {"image": picture(), "strength": 0.7},
    KandinskyInpaintPipeline: {"image": picture(), "mask_image": mask()},
}
ALL = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.fixture
def draw(compare: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` with embeddings, and what the decoder takes besides."""

    def run(kind: Any, rows: int = 1, **call: Any) -> Any:
        given = {
            "image_embeds": embeds(rows),
            "negative_image_embeds": embeds(rows, seed=2),
            "height": 16,
            "width": 16,
            **KINDS[kind],
            **call,
        }
        return compare(kind, **given)

    return run


@ALL
@pytest.mark.parametrize(
    "call",
    [
        {},
        {
            "prompt": ["a cat", "dog"],
            "rows": 2,
            "image": [picture(), picture(seed=2)],
            "mask_image": [mask(), mask(32, 8)],
        },
        {
            "prompt": ["a cat", "dog"],
            "rows": 2,
            "negative_prompt": ["x", ""],
            "image": [picture()] * 2,
        },
        {"negative_prompt": "a red dog"},
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [4, 5]},
        {"seed": None},
        {"guidance_scale": 1.0},
        {"num_inference_steps": 5},
        {"output_type": "pil"},
        {"output_type": "pt"},
        {"prompt": "a prompt that is longer than what is read of it " * 3},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(draw: Callable[..., Any], kind: Any, call: dict[str, Any]) -> None:
    call = {n: v for n, v in call.items() if n in KINDS[kind] or n not in ("image", "mask_image")}
    if kind is KandinskyInpaintPipeline and "rows" in call:
        call["mask_image"] = [mask(), mask(32, 8)]
    if call.get("output_type") == "pil":
        # Bytes: a difference far below the tolerance can fall on either side of a half.
        call["tolerance"] = 1 / 255 + 1e-6
    draw(kind, **call)


@ALL
def test_another_scheduler(draw: Callable[..., Any], kind: Any) -> None:
    draw(kind, components={"scheduler": DDPMScheduler(**SCHEDULE, variance_type="learned_range")})


def test_sizes(draw: Callable[..., Any]) -> None:
    assert draw(KandinskyPipeline, height=18, width=11).shape == (1, 20, 12, 3)
    draw(KandinskyImg2ImgPipeline, height=12, width=12)
    draw(KandinskyInpaintPipeline, height=12, width=20)


def test_latents(draw: Callable[..., Any]) -> None:
    for kind in (KandinskyPipeline, KandinskyInpaintPipeline):
        draw(kind, latents=LATENTS, num_images_per_prompt=2)


@pytest.mark.parametrize("strength", [0.34, 0.7, 1.0])
def test_strength(draw: Callable[..., Any], strength: float) -> None:
    draw(KandinskyImg2ImgPipeline, strength=strength)


@pytest.mark.parametrize("image", [picture(20, 28), tensor(picture()), tensor(picture()) * 2 - 1])
def test_images(draw: Callable[..., Any], image: Any) -> None:
    draw(KandinskyImg2ImgPipeline, image=image)


@ALL
def test_older_callbacks(draw: Callable[..., Any], kind: Any) -> None:
    seen: list[Any] = []

    def look(step: int, timestep: Any, latents: Any) -> None:
        seen.append((step, int(timestep), tuple(latents.shape)))

    draw(kind, callback=look, callback_steps=2, num_inference_steps=5)
    half = len(seen) // 2
    assert half > 1
    assert seen[:half] == seen[half:]


@ALL
def test_parameters_change_the_image(draw: Callable[..., Any], kind: Any) -> None:
    """What the comparisons above compare is not all the same picture."""
    plain = draw(kind)
    others: list[dict[str, Any]] = [
        {"prompt": "a red dog"},
        {"negative_prompt": "a red dog"},
        {"image_embeds": embeds(seed=9)},
        {"guidance_scale": 1.0},
        {"seed": 1},
    ]
    for call in others:
        assert np.abs(draw(kind, **call) - plain).max() > 1e-3, call
