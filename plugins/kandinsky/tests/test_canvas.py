"""Images and masks as the decoders for inpainting take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.pictures import mask, picture, tensor

from autopipe.errors import ArgumentError
from autopipe_kandinsky.canvas import kept_of, pixels_of


def test_every_kind_of_image_is_the_same_pixels() -> None:
    array = np.asarray(picture())
    expected = tensor(picture()) * 2 - 1
    for image in (picture(), array, array.astype(np.float32) / 255, expected):
        torch.testing.assert_close(pixels_of(image, 16, 16), expected, atol=1e-6, rtol=0)


def test_images_come_to_the_size() -> None:
    for image in (picture(), np.asarray(picture()), tensor(picture())):
        assert pixels_of(image, 8, 24).shape == (1, 3, 8, 24)


def test_white_is_repainted_and_a_cell_around_it() -> None:
    expected = torch.ones(1, 1, 8, 8)
    expected[..., 2:6, 2:6] = 0
    values = torch.zeros(8, 8)
    values[3:5, 3:5] = 1
    found = kept_of(values, 8, 8, (8, 8))
    assert torch.equal(found[..., 3:5, 3:5], torch.zeros(1, 1, 2, 2))
    # Along the axes, and along two of the four diagonals.
    assert (found >= expected).all()
    assert int((found == 0).sum()) == 4 + 8 + 2


def test_every_kind_of_mask_is_the_same() -> None:
    values = np.asarray(mask(), dtype=np.float32) / 255
    expected = kept_of(mask(), 16, 16, (8, 8))
    assert expected.shape == (1, 1, 8, 8)
    for given in (values, torch.from_numpy(values)):
        assert torch.equal(kept_of(given, 16, 16, (8, 8)), expected)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.full((1, 3, 8, 8), 1.5), "to 1.5; scale them to .-1, 1"),
        (torch.full((1, 3, 8, 8), torch.nan), "NaN"),
        (torch.zeros(1, 4, 8, 8), "4 channels"),
        (np.zeros((8, 8, 5), np.float32), "5 channels"),
    ],
    ids=["too large", "no number", "channels", "channels of an array"],
)
def test_what_is_no_image_is_refused(image: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        pixels_of(image, 8, 8)


@pytest.mark.parametrize(
    ("image", "words"),
    [(torch.full((8, 8), 2.0), "scale them to .0, 1"), (torch.zeros(1, 3, 8, 8), "3 channels")],
    ids=["too large", "channels"],
)
def test_what_is_no_mask_is_refused(image: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        kept_of(image, 8, 8, (4, 4))


def test_arrays_of_16_bits_and_with_transparency_are_pictures() -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    expected = pixels_of(values[..., :3], 8, 8)
    assert torch.equal(pixels_of(values, 8, 8), expected)
    torch.testing.assert_close(pixels_of(values.astype(np.uint16) * 257, 8, 8), expected)
    with pytest.raises(ArgumentError, match="to 70000"):
        pixels_of(np.full((8, 8, 3), 70000), 8, 8)
