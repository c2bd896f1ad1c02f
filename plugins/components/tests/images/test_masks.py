from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from autopipe.errors import ArgumentError
from autopipe_components.images.masks import binarize, crop_region, erode, overlay


def noise(height: int, width: int, seed: int) -> Image.Image:
    drawn = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(drawn)


@given(
    box=st.tuples(*[st.integers(0, 29)] * 4),
    pad=st.integers(0, 20),
    size=st.tuples(st.integers(8, 64), st.integers(8, 64)),
)
def test_the_region_holds_the_mask_and_stays_inside(box, pad, size):
    x, y, w, h = box
    mask = Image.new("L", (40, 35))
    mask.paste(1, (x, y, x + w + 1, y + h + 1))
    left, top, right, bottom = crop_region(mask, *size, pad=pad)
    assert 0 <= left <= x
    assert 0 <= top <= y
    assert min(x + w + 1, 40) <= right <= 40
    assert min(y + h + 1, 35) <= bottom <= 35


@pytest.mark.parametrize("pad", [0, 1, 7, 11, 30])
def test_the_region_has_the_padding_on_each_side_as_far_as_there_is_image(pad):
    mask = Image.new("L", (60, 60))
    mask.paste(255, (10, 20, 30, 40))
    # A square needs no widening, which would hide what padding does.
    left, top, right, bottom = crop_region(mask, 64, 64, pad=pad)
    inside = (left, top, right, bottom)
    assert left <= max(10 - pad, 0)
    assert top <= max(20 - pad, 0)
    assert right >= min(30 + pad, 60)
    assert bottom >= min(40 + pad, 60)
    if pad <= 10:
        assert inside == (10 - pad, 20 - pad, 30 + pad, 40 + pad)


def test_the_region_has_the_proportions_of_the_target():
    mask = Image.new("L", (400, 400))
    mask.paste(255, (150, 180, 190, 200))
    left, top, right, bottom = crop_region(mask, 64, 128, pad=5)
    assert (right - left) * 2 == bottom - top
    assert right - left == 50


def test_a_black_mask_has_no_region():
    with pytest.raises(ArgumentError, match="black"):
        crop_region(Image.new("L", (8, 8)), 8, 8)


def test_the_overlay_copies_black_and_white_exactly():
    original, painted = noise(20, 30, 0), noise(20, 30, 1)
    mask = noise(20, 30, 2).convert("L").point(lambda value: 255 * (value > 127))
    white = np.asarray(mask)[..., None] == 255
    expected = np.where(white, np.asarray(painted), np.asarray(original))
    assert np.array_equal(np.asarray(overlay(mask, original, painted)), expected)


def test_binarizing_keeps_the_dtype():
    for dtype in (np.float32, np.float64):
        found = binarize(np.array([0.1, 0.5, 0.9], dtype))
        assert found.dtype == dtype
        assert found.tolist() == [0, 1, 1]


def test_a_hole_grows_along_the_axes_and_one_diagonal():
    mask = torch.ones(1, 1, 5, 5)
    mask[0, 0, 2, 2] = 0
    expected = torch.ones(5, 5)
    expected[1:4, 2] = expected[2, 1:4] = expected[1, 1] = expected[3, 3] = 0
    assert torch.equal(erode(mask)[0, 0], expected)


def test_the_border_does_not_erode():
    assert erode(torch.ones(1, 1, 4, 4)).all()
