"""The mark in the lower right corner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import IFPipeline, IFWatermarker


@pytest.fixture
def white() -> IFWatermarker:
    """A mark that is white and opaque all over."""
    made = IFWatermarker()
    made.watermark_image.fill_(255)
    return made


def marked(image: Image.Image) -> list[int]:
    """Left, top, right and bottom of what is not black."""
    rows, columns = np.nonzero(np.asarray(image)[..., 0])
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_it_grows_with_the_picture(white: IFWatermarker) -> None:
    large, half = Image.new("RGB", (1024, 1024)), Image.new("RGB", (512, 512))
    assert white.apply_watermark([large]) == [large]
    white.apply_watermark([half])
    assert marked(large) == [1024 - 14 - 62, 1024 - 14 - 62, 1024 - 14, 1024 - 14]
    assert marked(half) == [512 - 7 - 31, 512 - 7 - 31, 512 - 7, 512 - 7]


def test_all_pictures_of_a_list_are_marked(white: IFWatermarker) -> None:
    images = [Image.new("RGB", (256, 128)) for _ in range(3)]
    white.apply_watermark(images)
    assert len({image.tobytes() for image in images}) == 1
    assert marked(images[0])[2:] == [256 - 2, 128 - 2]


def test_transparent_pixels_of_the_mark_change_nothing() -> None:
    image = Image.new("RGB", (512, 512), "red")
    IFWatermarker().apply_watermark([image])
    assert image.getcolors() == [(512 * 512, (255, 0, 0))]


def test_a_picture_too_small_for_a_mark_stays_as_it_is(white: IFWatermarker) -> None:
    image = Image.new("RGB", (16, 16))
    assert white.apply_watermark([image], 16) == [image]
    assert image.getbbox() is None


def test_only_pictures_are_marked(
    build: Callable[..., Any],
    unets: Callable[..., Any],
    white: IFWatermarker,
    seed: Callable[[int], torch.Generator],
) -> None:
    unet = unets(sample_size=48)
    pipe = build(IFPipeline, unet=unet, watermarker=white)
    call = {"prompt": "a cat", "num_inference_steps": 2}
    (image,) = pipe(**call, generator=seed(0)).images
    assert np.asarray(image)[-2:, -2:].min() == 255
    array = pipe(**call, generator=seed(0), output_type="np").images
    assert array[0, -2:, -2:].min() < 1


def test_it_is_saved_and_loaded(
    build: Callable[..., Any], watermarker: IFWatermarker, folder: Path
) -> None:
    build(IFPipeline, watermarker=watermarker).save_pretrained(folder)
    loaded = IFPipeline.from_pretrained(folder, unet=None, text_encoder=None)
    assert type(loaded.watermarker) is IFWatermarker
    assert torch.equal(loaded.watermarker.watermark_image, watermarker.watermark_image)
