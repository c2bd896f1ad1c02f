"""All tasks with the tiny autoencoder as `vae`, against diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from support.tiny import seeded

from autopipe import (
    AutoencoderTiny,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)

from .test_image2image import pictures

pytestmark = pytest.mark.parity

LEVELS = {f"num_{part}_blocks": (1, 1) for part in ("encoder", "decoder")}
WIDTHS = {f"{part}_block_out_channels": (8, 8) for part in ("encoder", "decoder")}


@pytest.fixture(scope="module")
def tiny() -> AutoencoderTiny:
    return seeded(lambda: AutoencoderTiny(**LEVELS, **WIDTHS))


@pytest.mark.parametrize("kind", [StableDiffusionPipeline, StableDiffusionImg2ImgPipeline])
def test_pictures(compare: Callable[..., Any], tiny: AutoencoderTiny, kind: type) -> None:
    given = {"image": pictures()[0]} if kind is StableDiffusionImg2ImgPipeline else {}
    found = compare(kind, components={"vae": tiny}, **given)
    assert found.std() > 0.001


@pytest.mark.parametrize("channels", [4, 9])
def test_inpainting(
    compare: Callable[..., Any], tiny: AutoencoderTiny, unets: Callable[..., Any], channels: int
) -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 8, 16))
    given = {"vae": tiny, "unet": unets(in_channels=channels) if channels == 9 else unets()}
    size = {"height": 16, "width": 16, "strength": 0.9}
    compare(
        StableDiffusionInpaintPipeline,
        image=pictures()[0],
        mask_image=mask,
        components=given,
        **size,
    )
