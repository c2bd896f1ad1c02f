"""Several images stand on a contact sheet."""

from __future__ import annotations

import PIL.Image
import pytest

from autopipe_generate.results import contact_sheet

RED = PIL.Image.new("RGB", (6, 4), "red")


@pytest.mark.parametrize(
    ("count", "size"), [(2, (12, 4)), (3, (12, 8)), (4, (12, 8)), (5, (18, 8))]
)
def test_a_sheet_shows_all_in_reading_order(count: int, size: tuple[int, int]) -> None:
    shades = [PIL.Image.new("RGB", RED.size, (i, 0, 0)) for i in range(count)]
    sheet = contact_sheet(shades)
    assert sheet.size == size
    columns = size[0] // RED.width
    for i in range(count):
        row, column = divmod(i, columns)
        assert sheet.getpixel((column * RED.width, row * RED.height)) == (i, 0, 0)
    if count == 3:
        assert sheet.getpixel((RED.width, RED.height)) == (255, 255, 255)
