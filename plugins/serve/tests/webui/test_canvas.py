from __future__ import annotations

import pytest
from PIL import Image

from autopipe_serve.webui.canvas import canvas_of, fitted, mask_of

RED, BLUE = (255, 0, 0), (0, 0, 255)


def _halves(size: tuple[int, int]) -> Image.Image:
    """Red at the left, blue at the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(64, 32), (32, 64), (48, 48), (8, 96)])
def test_another_shape(mode: int, size: tuple[int, int]) -> None:
    found = fitted(_halves((60, 40)), size, mode)
    assert found.size == size
    assert found.getpixel((0, size[1] // 2)) == RED
    assert found.getpixel((size[0] - 1, 0)) == BLUE


def test_edges_are_continued() -> None:
    image = _halves((40, 40))
    image.paste((0, 255, 0), (0, 0, 40, 1))
    found = fitted(image, (40, 80), 2)
    assert found.getpixel((5, 0)) == found.getpixel((5, 19)) == (0, 255, 0)
    assert found.getpixel((5, 79)) == RED


@pytest.mark.parametrize(
    ("mask", "padding", "size", "box"),
    [
        ((40, 40, 60, 60), 0, (64, 64), (40, 40, 60, 60)),
        ((40, 40, 60, 60), 10, (64, 64), (30, 30, 70, 70)),
        ((40, 40, 60, 60), 0, (64, 32), (30, 40, 70, 60)),
        ((40, 40, 60, 60), 0, (32, 64), (40, 30, 60, 70)),
        # The border moves the box, or ends it.
        ((0, 40, 10, 60), 0, (64, 64), (0, 40, 20, 60)),
        ((95, 40, 100, 60), 5, (64, 32), (40, 35, 100, 65)),
        ((0, 0, 100, 10), 0, (32, 64), (0, 0, 100, 100)),
    ],
)
def test_the_part_around_the_mask(
    mask: tuple[int, int, int, int],
    padding: int,
    size: tuple[int, int],
    box: tuple[int, int, int, int],
) -> None:
    white = Image.new("L", (100, 100))
    white.paste(255, mask)
    soft = mask_of(white, (100, 100), inverted=False, blur=0)
    found = canvas_of(Image.new("RGB", (100, 100)), soft, size, padding=padding)
    assert found.box == box
    assert found.image.size == size


def test_a_mask_of_another_size() -> None:
    white = Image.new("L", (10, 10))
    white.paste(255, (5, 0, 10, 10))
    found = mask_of(white, (100, 50), inverted=False, blur=0)
    assert found.getbbox() == (50, 0, 100, 50)


def test_colors_flow_under_the_mask() -> None:
    image = _halves((128, 128))
    white = Image.new("L", image.size)
    white.paste(255, (32, 32, 96, 96))
    image.paste((0, 255, 0), (32, 32, 96, 96))
    soft = mask_of(white, image.size, inverted=False, blur=0)
    seen = canvas_of(image, soft, image.size, fill=0).image
    left, right = (seen.getpixel((x, 64)) for x in (34, 93))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > left[2]
    assert right[2] > right[0]
    assert max(left[1], right[1]) < 100


def test_of_an_image_that_is_repainted_whole_nothing_is_known() -> None:
    white = Image.new("L", (64, 64), 255)
    soft = mask_of(white, (64, 64), inverted=False, blur=4)
    seen = canvas_of(Image.new("RGB", (64, 64), RED), soft, (64, 64), fill=0).image
    assert seen.getpixel((30, 30)) == (128, 128, 128)
