"""Image to image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import DDIMScheduler, StableDiffusionImg2ImgPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError

PICTURE = Image.new("RGB", (16, 16), (200, 30, 60))
CALL = {"image": PICTURE, "num_inference_steps": 4, "output_type": "pt"}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"image": None}, ArgumentError),
        ({"image": "picture.png"}, ArgumentTypeError),
        ({"image": []}, ArgumentError),
        ({"image": [PICTURE, np.zeros((16, 16, 3))]}, ArgumentTypeError),
        ({"image": torch.zeros(16)}, ArgumentError),
        ({"image": [PICTURE] * 3, "prompt": ["a", "b"]}, ArgumentError),
        ({"image": [PICTURE] * 2}, ArgumentError),
        ({"strength": -0.1}, ArgumentError),
        ({"strength": 1.01}, ArgumentError),
        ({"strength": "1"}, ArgumentTypeError),
        ({"strength": 0.1}, ArgumentError),
        ({"strength": 0}, ArgumentError),
    ],
    ids=str,
)
def test_bad_calls_are_refused_before_any_work(
    build: Callable[..., Any], bad: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(bad))):
        build(StableDiffusionImg2ImgPipeline)(**{"prompt": "a cat", **CALL, **bad})


@pytest.mark.usefixtures("idle")
def test_a_unet_for_inpainting_is_refused_when_called(
    build: Callable[..., Any], unets: Callable[..., Any]
) -> None:
    pipe = build(StableDiffusionImg2ImgPipeline, unet=unets(in_channels=9, out_channels=4))
    with pytest.raises(ArgumentError, match="inpainting"):
        pipe("a cat", **CALL)


@pytest.mark.parametrize(("strength", "steps"), [(0.25, 1), (0.5, 2), (0.99, 3), (1.0, 4)])
def test_strength_is_the_part_of_the_steps(
    build: Callable[..., Any], strength: float, steps: int
) -> None:
    pipe = build(StableDiffusionImg2ImgPipeline, scheduler=DDIMScheduler())
    taken: list[int] = []
    pipe("a", **CALL, strength=strength, callback_on_step_end=lambda run, i, *rest: taken.append(i))
    assert taken == list(range(steps))


def test_a_transparent_image_is_an_image_and_not_latents(
    build: Callable[..., Any], seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(StableDiffusionImg2ImgPipeline)
    plain = pipe("a cat", **CALL, generator=seeded(0)).images
    transparent = {**CALL, "image": PICTURE.convert("RGBA")}
    assert torch.equal(pipe("a cat", **transparent, generator=seeded(0)).images, plain)


def test_latents_are_not_encoded_again(
    build: Callable[..., Any],
    seeded: Callable[[int], torch.Generator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe = build(StableDiffusionImg2ImgPipeline)
    monkeypatch.setattr(type(pipe.vae), "encode", None)
    latents = torch.randn(1, 4, 8, 8, generator=seeded(0))
    assert pipe("a cat", **{**CALL, "image": latents}).images.shape == (1, 3, 16, 16)


def test_an_array_with_transparency_is_a_picture(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionImg2ImgPipeline)
    rgba = np.random.default_rng(0).random((16, 16, 4), np.float32)

    def draw(image: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return pipe("a cat", **{**CALL, "image": image}, generator=generator).images

    assert torch.equal(draw(rgba), draw(rgba[..., :3]))
    assert torch.equal(draw(rgba[..., 0]), draw(rgba[..., [0, 0, 0]]))


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_tensors_are_pixels_or_latents(build: Callable[..., Any], channels: int) -> None:
    with pytest.raises(ArgumentError, match=rf"image has {channels} channels.*\(1, {channels},"):
        build(StableDiffusionImg2ImgPipeline)(
            "a cat", **{**CALL, "image": torch.zeros(1, channels, 16, 16)}
        )
