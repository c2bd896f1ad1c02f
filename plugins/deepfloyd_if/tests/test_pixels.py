"""Images and masks as pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import mask, picture, tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_deepfloyd_if.pixels import fitted_size, make_mask, make_pixels


def test_pictures_are_made_to_fit_and_span_the_range() -> None:
    found = make_pixels([picture(32, 48), picture(32, 48, seed=3)], 16)
    assert found.shape == (2, 3, 16, 24)
    assert found.dtype == torch.float32
    black_and_white = Image.new("L", (8, 8))
    black_and_white.putpixel((0, 0), 255)
    extremes = make_pixels(black_and_white)
    assert (extremes.min(), extremes.max()) == (-1, 1)
    assert extremes.shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 100), (64, 64)),
        ((200, 100), (64, 128)),
        ((100, 133), (88, 64)),
        ((99, 100), (64, 64)),
    ],
)
def test_the_longer_side_is_a_multiple_of_8(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted_size(Image.new("RGB", size), 64) == expected


def test_arrays_and_tensors_are_taken_as_they_are() -> None:
    given = torch.rand(2, 3, 4, 6) * 2 - 1
    assert torch.equal(make_pixels(given, 16), given)
    assert torch.equal(make_pixels(list(given)), given)
    array = given.permute(0, 2, 3, 1).numpy()
    assert torch.equal(make_pixels(array, 16), given)
    # Also those without a negative value: a bright picture, and no picture in [0, 1].
    assert torch.equal(make_pixels(given.abs()), given.abs())


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 4, 3), np.uint8), ArgumentError, "x / 127.5 - 1"),
        (torch.zeros(3, 4, 4, dtype=torch.long), ArgumentError, "int64"),
        (torch.zeros(1, 1, 4, 4), ArgumentError, "has 1 channels"),
        (np.zeros((1, 3, 4, 4), np.float32), ArgumentError, "has 4 channels"),
        ("photo.png", ArgumentTypeError, "load_image"),
    ],
    ids=str,
)
def test_what_is_no_such_image_is_refused(image: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_pixels(image)


def test_masks_are_ones_and_zeros_at_the_size_asked_for() -> None:
    found = make_mask(mask(64, 32).convert("RGB"), 16, 8)
    assert found.shape == (1, 1, 16, 8)
    assert set(found.flatten().tolist()) == {0.0, 1.0}
    assert found[0, 0, 8, 4] == 1
    assert found[0, 0, 0, 0] == 0


def test_masks_of_every_kind_are_the_same() -> None:
    expected = make_mask(mask(), 16, 16)
    given = tensor(mask())
    kept = given.clone()
    for one in (given, given[0], given[0, 0], [given[0, 0]], given[0, 0].numpy(), [mask()]):
        assert torch.equal(make_mask(one, 16, 16), expected)
    assert torch.equal(given, kept)
    assert make_mask(given[0].repeat(3, 1, 1), 16, 16).shape == (3, 1, 16, 16)
