"""The chain of both stages as it is written for diffusers, beside ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.parity import generators
from support.pictures import mask, picture

import autopipe
from autopipe_components.cascade import cascade

pytestmark = pytest.mark.parity

TOLERANCE = 1e-3
"""Twice that of a task: the second stage works on what the first has rounded."""

CHAINS = {
    "IFPipeline": ("IFSuperResolutionPipeline", {}),
    "IFImg2ImgPipeline": ("IFImg2ImgSuperResolutionPipeline", {"image": picture(64, 64)}),
    "IFInpaintingPipeline": (
        "IFInpaintingSuperResolutionPipeline",
        {"image": picture(64, 64), "mask_image": mask(64, 64)},
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_both_stages(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    unets: Callable[..., Any],
    record: Callable[..., float],
    name: str,
) -> None:
    second_name, given = CHAINS[name]
    first = build(getattr(autopipe, name))
    without = {"text_encoder": None, "tokenizer": None, "unet": unets(2, sample_size=32)}
    second = build(getattr(autopipe, second_name), **without)
    steps = [{"num_inference_steps": 3}, {"num_inference_steps": 4}]
    found = cascade(
        [first, second],
        "a cat",
        negative_prompt="blurry",
        generator=generators(3),
        output_type="np",
        options=steps,
        **given,
    ).images

    generator = generators(3)
    first, second = reference(first), reference(second)
    embeds, negative = first.encode_prompt("a cat", negative_prompt="blurry")
    call = {
        "prompt_embeds": embeds,
        "negative_prompt_embeds": negative,
        "generator": generator,
    }
    small = first(**given, **call, **steps[0], output_type="pt").images
    original = {"original_image" if k == "image" else k: v for k, v in given.items()}
    large = second(image=small, **original, **call, **steps[1], output_type="np").images
    assert found.shape == (1, 32, 32, 3)
    assert record(f"{name}, both stages", found, large) <= TOLERANCE
