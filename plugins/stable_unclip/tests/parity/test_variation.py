"""Variations of an image against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.image_embeddings import embeds
from support.pictures import picture

from autopipe import StableUnCLIPImg2ImgPipeline as Pipe

pytestmark = pytest.mark.parity

PIXELS = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": None, "noise_level": 300, "output_type": "pil"},
        {"negative_prompt": "a red dog", "guidance_scale": 3.0, "output_type": "pt"},
        {"guidance_scale": 1.0, "output_type": "latent"},
        {"prompt": ["a", "b"], "num_images_per_prompt": 2, "seed": [1, 2, 3, 4]},
        {"prompt": None, "image": [picture(), picture(seed=2)], "seed": [1, 2]},
        {"prompt": ["a", "b"], "image": PIXELS, "num_images_per_prompt": 2, "seed": None},
        {"image": None, "image_embeds": embeds()},
        {"latents": LATENTS, "eta": 0.5, "height": 16, "width": 16},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **{"image": picture(), **call})


@pytest.mark.parametrize(
    "name", ["EulerDiscreteScheduler", "PNDMScheduler", "HeunDiscreteScheduler"]
)
def test_schedulers(compare: Callable[..., Any], scheduler: Callable[..., Any], name: str) -> None:
    given = {"scheduler": scheduler(name)}
    compare(Pipe, image=picture(), num_inference_steps=4, components=given)
    # Given latents are not scaled to the noise of the first step.
    compare(Pipe, image=picture(), num_inference_steps=4, latents=LATENTS, components=given)


def test_embeddings(compare: Callable[..., Any]) -> None:
    both = torch.randn(2, 2, 12, 16, generator=torch.Generator().manual_seed(2))
    given = {"prompt_embeds": both[0], "negative_prompt_embeds": both[1]}
    compare(Pipe, None, image=picture(), num_images_per_prompt=1, **given, noise_level=5)


def test_noised_embeddings(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    found, expected = (
        pipe.noise_image_embeddings(embeds(2), 400, generator=torch.Generator().manual_seed(0))
        for pipe in (ours, reference(ours))
    )
    assert torch.allclose(found, expected, atol=1e-6)  # The order of float32 operations differs.


def test_saved(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
) -> None:
    ours = build(Pipe)
    saved_alike(ours, reference(ours))


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    call = {"image": picture(), "prompt": "a cat", "num_inference_steps": 3}
    assert_same_kinds(ours, reference(ours), call)
