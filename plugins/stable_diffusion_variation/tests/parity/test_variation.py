"""Image variations against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.pictures import picture

from autopipe import StableDiffusionImageVariationPipeline as Pipe

pytestmark = pytest.mark.parity

PIXELS = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"guidance_scale": 1.0, "output_type": "pil"},
        {"image": [picture(), picture(seed=2)], "seed": [1, 2], "output_type": "pt"},
        {"image": PIXELS, "num_images_per_prompt": 2, "output_type": "latent"},
        {"num_images_per_prompt": 2, "seed": None},
        {"image": picture(24, 40), "height": 24, "width": 16},
        {"latents": LATENTS},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **{"image": picture(), **call})


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    compare(Pipe, image=picture(), num_inference_steps=4, components={"scheduler": any_scheduler})


def test_noise_inside_steps(compare: Callable[..., Any], scheduler: Callable[..., Any]) -> None:
    compare(Pipe, image=picture(), eta=0.5, components={"scheduler": scheduler("DDIMScheduler")})


def test_callbacks(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    seen: list[list[Any]] = []
    for pipe in (ours, reference(ours)):
        steps: list[Any] = []
        pipe(
            picture(), num_inference_steps=4, generator=torch.Generator().manual_seed(0),
            callback=lambda step, t, latents, to=steps: to.append((step, int(t), latents.clone())),
            callback_steps=2,
        )  # fmt: skip
        seen.append(steps)
    assert [one[:2] for one in seen[0]] == [one[:2] for one in seen[1]]
    for (*_, found), (*_, expected) in zip(*seen):
        assert torch.allclose(found, expected, atol=1e-4)  # float32 rounding over a few steps


def test_embeddings(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    found, expected = (
        pipe._encode_image([picture(), picture(seed=2)], torch.device("cpu"), 2, True)
        for pipe in (ours, reference(ours))
    )
    # Of one encoder in two implementations.
    assert np.allclose(found, expected, atol=1e-5)


def test_saved(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
) -> None:
    ours = build(Pipe)
    saved_alike(ours, reference(ours))


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    assert_same_kinds(ours, reference(ours), {"image": picture(), "num_inference_steps": 3})
