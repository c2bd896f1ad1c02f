"""Animated pictures and videos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from autopipe.errors import ArgumentError, ImageFileError, MissingPackageError
from autopipe.utils import export_to_gif, export_to_video, load_video

COLOURS = ("red", "green", "blue")


@pytest.fixture
def frames() -> list[PIL.Image.Image]:
    return [PIL.Image.new("RGB", (16, 16), colour) for colour in COLOURS]


def test_a_gif_is_written_and_read(frames: list[PIL.Image.Image], tmp_path: Path) -> None:
    path = str(tmp_path / "a.gif")
    assert export_to_gif(frames, path, fps=4) == path
    read, rate = load_video(path, return_fps=True)
    assert rate == 4
    assert [one.convert("RGB").getpixel((3, 3)) for one in read] == [
        one.getpixel((3, 3)) for one in frames
    ]
    halved = load_video(Path(path), convert_method=lambda found: found[::2])
    assert len(halved) == 2


def test_a_path_is_made_if_none_is_given(frames: list[PIL.Image.Image]) -> None:
    path = Path(export_to_gif(frames))
    assert path.suffix == ".gif"
    assert path.stat().st_size > 0
    path.unlink()


@pytest.mark.parametrize("export", [export_to_gif, export_to_video])
def test_no_frames_are_no_video(export: Any, frames: list[PIL.Image.Image]) -> None:
    with pytest.raises(ArgumentError, match="not a video"):
        export([])
    with pytest.raises(ArgumentError, match="positive rate"):
        export(frames, fps=0)


def test_a_file_must_exist_and_be_one(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="no file"):
        load_video(str(tmp_path / "none.gif"))
    bad = tmp_path / "bad.gif"
    bad.write_bytes(b"nothing")
    with pytest.raises(ImageFileError, match="can't be read"):
        load_video(bad)


def test_a_gif_without_a_rate(tmp_path: Path) -> None:
    path = tmp_path / "one.gif"
    PIL.Image.new("RGB", (4, 4)).save(path)
    assert len(load_video(path)) == 1
    with pytest.raises(ArgumentError, match="no frame rate"):
        load_video(path, return_fps=True)


def test_what_is_not_installed_is_named(
    frames: list[PIL.Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("imageio", "imageio_ffmpeg", "cv2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match="pip install imageio imageio-ffmpeg"):
        export_to_video(frames, str(tmp_path / "a.mp4"))
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(MissingPackageError, match="load_video needs imageio"):
        load_video(tmp_path / "a.mp4")


class Writer:
    """Stands for that of imageio."""

    def __init__(self, path: str, **settings: Any) -> None:
        self.path, self.settings, self.frames = path, settings, []  # type: ignore[var-annotated]

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        Path(self.path).write_bytes(b"video")

    def append_data(self, frame: Any) -> None:
        self.frames.append(frame)


def test_frames_of_every_kind_are_written_with_imageio(
    frames: list[PIL.Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    made: list[Writer] = []
    imageio: Any = types.ModuleType("imageio")
    imageio.get_writer = lambda path, **given: made.append(Writer(path, **given)) or made[-1]
    monkeypatch.setitem(sys.modules, "imageio", imageio)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", types.ModuleType("imageio_ffmpeg"))
    path = str(tmp_path / "a.mp4")
    assert export_to_video(frames, path, fps=7, quality=9) == path
    assert export_to_video([np.asarray(one) / 255.0 for one in frames], path) == path
    assert made[0].settings == {"fps": 7, "quality": 9, "bitrate": None, "macro_block_size": 16}
    for writer in made:
        assert [tuple(one[0, 0]) for one in writer.frames] == [
            one.getpixel((0, 0)) for one in frames
        ]
