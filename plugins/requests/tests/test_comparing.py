"""Results are compared by their contents, whatever is written in them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from autopipe.errors import ImageFileError
from autopipe_requests import comparing
from autopipe_requests.comparing import compared

SAME = (True, "the same, to the last bit")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def image(name: str, changed: int = 0, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(1).integers(0, 200, (size[1], size[0], 3), dtype=np.uint8)
    pixels.reshape(-1)[:changed] += np.arange(1, changed + 1, dtype=np.uint8)
    PIL.Image.fromarray(pixels).convert(mode).save(name)
    return Path(name)


def clip(name: str, *levels: int) -> Path:
    frames = [PIL.Image.new("L", (8, 6), level) for level in levels]
    frames[0].save(name, save_all=True, append_images=frames[1:], duration=100)
    return Path(name)


def sound(name: str, *samples: int, channels: int = 1) -> Path:
    with wave.open(name, "wb") as file:
        file.setparams((channels, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.array(samples, "<i2").tobytes())
    return Path(name)


def test_images() -> None:
    one = image("a.png")
    assert compared(one, image("b.png")) == SAME
    assert compared(image("a.jpg"), image("b.jpg")) == SAME
    assert compared(one, image("b.png", changed=3)) == (
        False, "not the same: 3 of 192 values differ, by at most 3 of 255",
    )  # fmt: skip
    assert compared(one, image("b.png", size=(6, 8)))[1] == (
        "not the same: 1x6x8x4 then, 1x8x6x4 now"
    )
    is_same, _ = compared(image("a.png", mode="L"), image("b.png"))
    assert not is_same


def test_the_format_is_known_by_the_contents() -> None:
    one, other = sound("a.wav", 1, 2).rename("a.png"), image("b.png").rename("b.wav")
    assert compared(one, sound("c.wav", 1, 2)) == SAME
    assert compared(other, image("c.png")) == SAME
    assert "not the same: " in compared(one, other)[1]


def test_animations() -> None:
    one = clip("a.gif", 0, 100, 200)
    assert compared(one, clip("b.gif", 0, 100, 200)) == SAME
    assert not compared(one, clip("b.gif", 0, 100, 210))[0]
    assert compared(one, clip("b.gif", 0, 200))[1].endswith("3x6x8x4 then, 2x6x8x4 now")


def test_sounds() -> None:
    one = sound("a.wav", 1, 2, 3, -4)
    assert compared(one, sound("b.wav", 1, 2, 3, -4)) == SAME
    assert compared(one, sound("b.wav", 1, 2, 3, -32768))[1] == (
        "not the same: 1 of 4 values differ, by at most 32764 of 32767"
    )
    assert compared(one, sound("b.wav", 1, 2, 3, -4, channels=2))[1].endswith("4x1 then, 2x2 now")


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"RIFF1234WAVE", b"GIF89a"]
)
def test_what_can_not_be_read_is_a_sentence(content: bytes) -> None:
    Path("broken").write_bytes(content)
    for pair in ((Path("broken"), image("a.png")), (image("a.png"), Path("broken"))):
        with pytest.raises(ImageFileError, match="'broken'"):
            compared(*pair)
    with pytest.raises(ImageFileError, match="'gone"):
        compared(Path("gone.png"), Path("a.png"))


def test_frames_of_too_many_pixels_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_PIXELS", 3 * 8 * 6)
    assert compared(clip("a.gif", 0, 100, 200), clip("b.gif", 0, 100, 200)) == SAME
    with pytest.raises(ImageFileError, match="its frames have more than 144 pixels"):
        compared(clip("a.gif", 0, 50, 100, 200), Path("b.gif"))
