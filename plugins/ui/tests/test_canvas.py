"""Pictures and masks from the value of an editor."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from autopipe_ui.canvas import enlarged, fitted, mask_in, picture_in, png_of, saved, size_of

CLEAR = (0, 0, 0, 0)


def plain(colour: Any, size: tuple[int, int] = (8, 6)) -> PIL.Image.Image:
    return PIL.Image.new("RGBA", size, colour)


def strokes(box: tuple[int, int, int, int], colour: Any = "red") -> PIL.Image.Image:
    image = plain(CLEAR)
    image.paste(colour, box)
    return image


@pytest.mark.parametrize(
    "value",
    [None, {}, {"background": None, "layers": []}, {"background": plain(CLEAR), "layers": None}],
)
def test_an_empty_editor_has_neither(value: Any) -> None:
    assert picture_in(value, with_layers=True) is None
    assert mask_in(value) is None


def test_strokes_belong_to_pictures_or_are_a_mask() -> None:
    value = {"background": plain("blue"), "layers": [strokes((0, 0, 4, 3))]}
    with_strokes = picture_in(value, with_layers=True)
    assert with_strokes is not None
    assert (with_strokes.getpixel((0, 0)), with_strokes.getpixel((7, 5))) == (
        (255, 0, 0), (0, 0, 255),
    )  # fmt: skip
    without = picture_in(value, with_layers=False)
    assert without is not None
    assert {*without.getdata()} == {(0, 0, 255)}
    mask = mask_in(value)
    assert mask is not None
    expected = np.zeros((6, 8))
    expected[:3, :4] = 255
    assert (np.asarray(mask) == expected).all()


def test_faint_strokes_count_and_paper_is_white() -> None:
    value = {"background": None, "layers": [strokes((2, 2, 4, 4), (255, 0, 0, 1))]}
    mask, picture = mask_in(value), picture_in(value, with_layers=True)
    assert mask is not None
    assert mask.getbbox() == (2, 2, 4, 4)
    assert picture is not None
    assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_masks_have_the_size_of_their_picture() -> None:
    value = {"background": plain("blue", (16, 12)), "layers": [strokes((0, 0, 4, 3))]}
    mask = mask_in(value)
    assert mask is not None
    assert mask.size == (16, 12)


@pytest.mark.parametrize(
    ("size", "usual", "found"),
    [
        ((640, 640), (512, 512), (512, 512)),
        ((1600, 900), (512, 512), (704, 384)),
        ((900, 1600), (1024, 1024), (768, 1344)),
        ((512, 512), (64, 64), (64, 64)),
        ((5000, 10), (64, 64), (1432, 8)),
    ],
)
def test_sizes_keep_shape_and_area(
    size: tuple[int, int], usual: tuple[int, int], found: tuple[int, int]
) -> None:
    assert fitted(size, usual) == found


def test_saved_values_are_files_with_the_same_pixels(tmp_path: Path) -> None:
    value = {"background": plain("blue"), "layers": [strokes((0, 0, 4, 3)), plain(CLEAR)]}
    found = saved(value, tmp_path)
    assert len(found["layers"]) == 1
    assert size_of(found) == (8, 6)
    again = {
        "background": PIL.Image.open(found["background"]),
        "layers": [PIL.Image.open(one) for one in found["layers"]],
    }
    first, second = mask_in(value), mask_in(again)
    assert first is not None
    assert second is not None
    assert first.tobytes() == second.tobytes()


def test_small_pictures_are_enlarged_by_whole_numbers(tmp_path: Path) -> None:
    file = tmp_path / "small.png"
    small = PIL.Image.effect_noise((10, 6), 80).convert("RGB")
    small.save(file)
    found = PIL.Image.open(enlarged(file, tmp_path, least=35)["background"]).convert("RGB")
    assert found.size == (40, 24)
    assert found.resize((10, 6), PIL.Image.Resampling.BOX).tobytes() == small.tobytes()


def test_png_of_an_image() -> None:
    image = PIL.Image.effect_noise((9, 5), 80)
    assert PIL.Image.open(io.BytesIO(png_of(image))).tobytes() == image.tobytes()
