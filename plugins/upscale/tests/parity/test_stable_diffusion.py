"""The upscalers that take a prompt against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.pictures import picture, tensor

from autopipe import StableDiffusionLatentUpscalePipeline as Latents
from autopipe import StableDiffusionUpscalePipeline as Fourfold

pytestmark = pytest.mark.parity

PICTURES = [picture(), picture(seed=4)]
NOISE = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4))


def embeddings(count: int = 1) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(2)
    names = ("prompt_embeds", "negative_prompt_embeds")
    return {name: torch.randn(count, 12, 16, generator=source) for name in names}


def pooled(count: int = 1) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(3)
    names = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    return {name: torch.randn(count, 16, generator=source) for name in names}


COMMON: list[dict[str, Any]] = [
    {"prompt": ["a cat", "a red dog"], "image": PICTURES, "negative_prompt": ["x", "y"]},
    {"prompt": ["a", "b"], "image": PICTURES, "seed": [1, 2]},
    {"guidance_scale": 1.0},
    {"negative_prompt": "a red dog"},
    {"image": tensor(picture())},
    {"image": [np.asarray(picture(), dtype=np.float32) / 255]},
    {"image": picture(20, 28)},
    {"latents": NOISE},
    {"output_type": "pt"},
    {"output_type": "latent"},
    {"seed": None},
]


def named(case: dict[str, Any]) -> str:
    return ",".join(f"{n}={v}" if isinstance(v, (int, float, str)) else n for n, v in case.items())


@pytest.mark.parametrize(
    "call",
    [
        *COMMON,
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"prompt": ["a", "b"], "image": PICTURES, "num_images_per_prompt": 2},
        {"prompt": None, **embeddings()},
        {"noise_level": 0},
        {"noise_level": 300},
        {"eta": 0.5},
    ],
    ids=named,
)
def test_fourfold(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Fourfold, **{"image": picture(), **call})


@pytest.mark.parametrize(
    "call",
    [
        *COMMON[:6],
        # Sides that the network can halve.
        {"image": picture(20, 36)},
        *COMMON[7:],
        {"guidance_scale": 0},
        {"prompt": None, **embeddings(), **pooled()},
        {"image": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))},
    ],
    ids=named,
)
def test_latents(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Latents, **{"image": picture(), **call})


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    compare(
        Fourfold, image=picture(), num_inference_steps=4, components={"scheduler": any_scheduler}
    )


@pytest.mark.parametrize(
    "name", ["EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"]
)
def test_schedulers_with_noise_levels(
    compare: Callable[..., Any], scheduler: Callable[..., Any], name: str
) -> None:
    compare(Latents, image=picture(), components={"scheduler": scheduler(name)})


def test_the_older_callback(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any, call: dict[str, Any]
) -> None:
    found = []
    for pipe in (ours := build(kind), reference(ours)):
        seen: list[Any] = []
        pipe(
            **call,
            generator=torch.Generator().manual_seed(0),
            callback=lambda *given, seen=seen: seen.append(given),
            callback_steps=2,
        )
        found.append(seen)
    assert [(step, int(t)) for step, t, _ in found[0]] == [(s, int(t)) for s, t, _ in found[1]]
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one[2], other[2], atol=1e-4)


def test_kinds_of_errors(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any, call: dict[str, Any]
) -> None:
    ours = build(kind)
    # Here, pictures are enlarged without a prompt, too.
    assert_same_kinds(ours, reference(ours), call, besides=[{"prompt": None}])


def test_saved_alike(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    kind: Any,
) -> None:
    ours = build(kind)
    saved_alike(ours, reference(ours))
