"""What is particular about editing: guidance in three parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.pictures import picture

import autopipe
from autopipe import StableDiffusionInstructPix2PixPipeline as Plain
from autopipe import StableDiffusionXLInstructPix2PixPipeline as XL
from autopipe.errors import ArgumentError, ArgumentTypeError

Build = Callable[..., Any]


def seen_by(pipe: Any, call: dict[str, Any]) -> list[torch.Tensor]:
    """The inputs of the U-Net in a call."""
    seen: list[torch.Tensor] = []
    handle = pipe.unet.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        pipe(**call, generator=torch.Generator().manual_seed(0))
    finally:
        handle.remove()
    return seen


def test_a_step_has_three_parts_and_the_last_has_no_picture(
    build: Build, kind: Any, call: dict[str, Any]
) -> None:
    pipe = build(kind)
    for sample in seen_by(pipe, call):
        assert len(sample) == 3
        assert torch.equal(sample[0], sample[1])
        assert sample[0, 4:].any()
        assert not sample[2, 4:].any()
    for off in ({"guidance_scale": 1.0}, {"image_guidance_scale": 0.9}):
        assert all(len(sample) == 1 for sample in seen_by(pipe, {**call, **off}))


@pytest.mark.parametrize("halves", ["in turn", "positive"])
def test_parts_in_turn_and_the_prompted_part_alone(
    build: Build, call: dict[str, Any], seed: Any, halves: str
) -> None:
    """As add-ons that save memory or time ask for."""
    pipe = build(Plain)
    other = dict(call) if halves == "in turn" else {**call, "guidance_scale": 1.0}
    expected = pipe(**other, generator=seed()).images
    pipe.halves = halves
    found = pipe(**call, generator=seed()).images
    assert torch.allclose(found, expected, atol=1e-5)


def test_scaled_latents_are_an_option_that_is_saved_and_kept(
    build: Build, call: dict[str, Any], seed: Any, tmp_path: Any
) -> None:
    pipe = build(XL, is_cosxl_edit=True)
    expected = pipe(**call, generator=seed()).images
    assert not torch.equal(build(XL)(**call, generator=seed()).images, expected)
    pipe.save_pretrained(tmp_path)
    again = XL.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.is_cosxl_edit
    assert torch.equal(again(**call, generator=seed()).images, expected)


def test_a_network_that_sees_no_picture_is_refused(build: Build, call: dict[str, Any]) -> None:
    pipe = build(Plain)
    narrow = autopipe.UNet2DConditionModel.from_config(pipe.unet.config, in_channels=4)
    with pytest.raises(ArgumentError, match="4 channels of latents and 4 of the image"):
        build(Plain, unet=narrow)(**call)


@pytest.mark.parametrize(
    ("scale", "error"), [("x", ArgumentTypeError), (float("nan"), ArgumentError)]
)
def test_image_guidance_is_a_finite_number(
    build: Build, kind: Any, call: dict[str, Any], scale: Any, error: Any
) -> None:
    with pytest.raises(error, match="image_guidance_scale is"):
        build(kind)(**call, image_guidance_scale=scale)


def test_it_shares_what_it_has_in_common_with_stable_diffusion(
    build: Build, call: dict[str, Any], seed: Any
) -> None:
    edit = build(Plain)
    expected = edit(**call, generator=seed()).images
    draw = autopipe.StableDiffusionPipeline.from_pipe(edit)
    again = Plain.from_pipe(draw)
    assert again.vae is edit.vae
    assert torch.equal(again(**call, generator=seed()).images, expected)


def test_a_picture_keeps_its_size(build: Build, call: dict[str, Any]) -> None:
    found = build(Plain)(**{**call, "image": picture(16, 24)}).images
    assert found.shape == (1, 3, 16, 24)


def test_weighted_prompts_are_read_and_combined_ones_refused(
    build: Build, kind: Any, call: dict[str, Any], seed: Any
) -> None:
    pipe = build(kind)
    plain = pipe(**call, generator=seed()).images
    pipe.attach("a1111")
    weighted = pipe(**{**call, "prompt": "a (cat:1.5)"}, generator=seed()).images
    assert not torch.equal(weighted, plain)
    with pytest.raises(ArgumentError, match="have 3 parts; write one prompt"):
        pipe(**{**call, "prompt": "a cat AND a dog"}, generator=seed())


def test_encoded_prompts_are_in_the_three_parts_of_a_step(build: Build) -> None:
    pipe = build(Plain)
    embeds, negative = pipe.encode_prompt("a cat", "cpu", 2, True, "x")
    joined = pipe._encode_prompt("a cat", "cpu", 2, True, "x")
    assert torch.equal(joined, torch.cat([embeds, negative, negative]))
