"""PNG files carry their settings, and appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import PIL.Image
import pytest

from autopipe.errors import ImageFileError
from autopipe_generate.results import contact_sheet, write

RED = PIL.Image.new("RGB", (6, 4), "red")
SETTINGS = {"prompt": "赤い丸, très rouge", "seed": "7", "negative_prompt": ""}


def test_settings_come_back_from_the_file(tmp_path: Path) -> None:
    told = write(tmp_path / "a.png", "images", RED, SETTINGS, {})
    read = PIL.Image.open(tmp_path / "a.png")
    assert read.text == told == {**SETTINGS, "size": "6x4"}
    assert read.tobytes() == RED.tobytes()


def test_missing_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "new" / "deep" / "a.png", "images", RED, {}, {})
    assert [p.name for p in (tmp_path / "new" / "deep").iterdir()] == ["a.png"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ImageFileError, match="No space left"):
        write(target, "images", RED, {}, {})
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def interrupted(self: object, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(PIL.Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(target, "images", RED, {}, {})
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_link_is_followed_not_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "real.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write(link, "images", RED, {}, {})
    assert link.is_symlink()
    assert PIL.Image.open(target).size == RED.size


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
