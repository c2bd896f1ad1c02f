from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import picture

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.images.encoder_input import encoder_input
from autopipe_components.images.kinds import count_of
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor

SIDE = 8
PROCESSOR = CLIPImageProcessor(
    size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
)


def test_a_picture_looks_the_same_in_every_form() -> None:
    image = picture()
    array = np.asarray(image)
    expected = encoder_input(image, PROCESSOR, SIDE)
    assert expected.shape == (1, 3, SIDE, SIDE)
    for form in (array, array[None], array / 255, [image.convert("RGBA")], expected, expected[0]):
        assert torch.allclose(encoder_input(form, PROCESSOR, SIDE), expected, atol=1e-6)


def test_images_are_counted() -> None:
    image, array = picture(), np.asarray(picture())
    for form, count in (
        (image, 1),
        ([image, image], 2),
        (np.stack([array] * 3), 3),
        (torch.ones(2, 3, SIDE, SIDE), 2),
        ([torch.ones(2, 3, SIDE, SIDE)] * 2, 4),
        (torch.ones(3, SIDE, SIDE), 1),
    ):
        assert count_of(form) == len(encoder_input(form, PROCESSOR, SIDE)) == count


@pytest.mark.parametrize(
    ("image", "kind", "words"),
    [
        (torch.ones(1, 3, 5, 5), ArgumentError, r"\(batch, 3, 8, 8\)"),
        (np.ones((4, 4)), ArgumentError, "3 channels"),
        (np.full((4, 4, 3), 300), ArgumentError, "up to 300"),
        ("a.png", ArgumentTypeError, "str"),
    ],
)
def test_other_images_are_refused(image: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=f"^sketch .*{words}"):
        encoder_input(image, PROCESSOR, SIDE, "sketch")
