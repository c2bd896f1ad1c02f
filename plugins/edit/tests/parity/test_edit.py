"""Editing against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.pictures import picture, tensor

from autopipe import StableDiffusionInstructPix2PixPipeline as Plain
from autopipe import StableDiffusionXLInstructPix2PixPipeline as XL

pytestmark = pytest.mark.parity

PICTURES = [picture(), picture(seed=4)]


def noise(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def named(case: dict[str, Any]) -> str:
    return ",".join(f"{n}={v}" if isinstance(v, (int, float, str)) else n for n, v in case.items())


@pytest.mark.parametrize(
    "call",
    [
        {"prompt": ["a cat", "a red dog"], "image": PICTURES, "negative_prompt": ["x", "y"]},
        {"prompt": ["a", "b"], "image": PICTURES, "seed": [1, 2]},
        {"prompt": ["a", "b"], "num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"guidance_scale": 1.0},
        {"image_guidance_scale": 1.0},
        {"image_guidance_scale": 0.5},
        {"negative_prompt": "a red dog"},
        {"image": tensor(picture())},
        {"image": [np.asarray(picture(), dtype=np.float32) / 255]},
        {"image": noise(1, 4, 8, 8)},
        {"latents": noise(1, 4, 8, 8, seed=3)},
        {"output_type": "pt"},
        # Latents that are not decoded are ten times as large.
        {"output_type": "latent", "tolerance": 1e-3},
        {"seed": None},
    ],
    ids=named,
)
def test_parameters(compare: Callable[..., Any], kind: Any, call: dict[str, Any]) -> None:
    compare(kind, **{"image": picture(), **call})


@pytest.mark.parametrize(
    "call",
    [
        {"image": picture(20, 28)},
        {
            "prompt": None,
            "prompt_embeds": noise(1, 12, 16),
            "negative_prompt_embeds": noise(1, 12, 16, seed=3),
        },
    ],
    ids=named,
)
def test_stable_diffusion(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Plain, **{"image": picture(), **call})


@pytest.mark.parametrize("cosxl", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        {"height": 24, "width": 16, "image": picture(20, 28)},
        {"original_size": (8, 24), "crops_coords_top_left": (2, 4), "target_size": (32, 16)},
        {"prompt_2": "a dog", "negative_prompt": "x", "negative_prompt_2": "y"},
        {"guidance_rescale": 0.7},
        {"denoising_end": 0.6, "output_type": "pt"},
        {
            "prompt": None,
            "prompt_embeds": noise(1, 12, 32),
            "negative_prompt_embeds": noise(1, 12, 32, seed=3),
            "pooled_prompt_embeds": noise(1, 10, seed=4),
            "negative_pooled_prompt_embeds": noise(1, 10, seed=5),
        },
    ],
    ids=named,
)
def test_sdxl(compare: Callable[..., Any], call: dict[str, Any], cosxl: bool) -> None:
    compare(XL, **{"image": picture(), **call}, components={"is_cosxl_edit": cosxl})


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    given = {"scheduler": any_scheduler}
    compare(Plain, image=picture(), num_inference_steps=4, components=given)


def test_callbacks_see_the_same_tensors(
    build: Callable[..., Any], reference: Callable[[Any], Any], call: dict[str, Any]
) -> None:
    names = ["latents", "prompt_embeds", "image_latents"]
    found = []
    for pipe in (ours := build(Plain), reference(ours)):
        seen: list[dict[str, torch.Tensor]] = []

        def change(
            run: Any, step: int, timestep: Any, tensors: dict[str, Any], seen: Any = seen
        ) -> dict[str, Any]:
            seen.append(dict(tensors))
            return {name: one * 0.9 for name, one in tensors.items()}

        result = pipe(
            **call,
            generator=torch.Generator().manual_seed(0),
            callback_on_step_end=change,
            callback_on_step_end_tensor_inputs=names,
        )
        found.append([*(step[name] for step in seen for name in names), result.images])
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape
        # Latents are up to 30.
        assert torch.allclose(one, other, atol=1e-3)


def test_methods_for_own_loops(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Plain)
    theirs = reference(ours)
    image = tensor(picture()) * 2 - 1
    for given in (("a cat", "cpu", 2, True, "x"), ("a cat", "cpu", 1, False)):
        one, other = (pipe._encode_prompt(*given) for pipe in (ours, theirs))
        assert torch.allclose(one, other, atol=1e-5)
    for guided in (True, False):
        given = (image, 2, 1, torch.float32, "cpu", guided)
        one, other = (pipe.prepare_image_latents(*given) for pipe in (ours, theirs))
        assert torch.allclose(one, other, atol=1e-5)


def test_kinds_of_errors(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any, call: dict[str, Any]
) -> None:
    ours = build(kind)
    # As elsewhere in the family, a negative prompt of another kind or number is a wrong value.
    family = [{"negative_prompt": ["a", "b", "c"]}, {"prompt": ["a", "b"], "negative_prompt": "c"}]
    assert_same_kinds(ours, reference(ours), call, besides=family if kind is XL else [])


def test_saved_alike(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    kind: Any,
) -> None:
    # As it is where nobody says otherwise.
    ours = build(kind, **({"add_watermarker": None} if kind is XL else {}))
    saved_alike(ours, reference(ours))
