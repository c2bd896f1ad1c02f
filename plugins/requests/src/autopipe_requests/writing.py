"""Writes results into files that carry their records."""

from __future__ import annotations

import os
import tempfile
import wave
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import ImageFileError
from autopipe.regular import UNFINISHED, replaced
from autopipe.wording import clean, shown

from .foreign.a1111 import parameters_of
from .pictures import add_to_wav, save_image
from .record import KEY, Record

if TYPE_CHECKING:
    import numpy as np

FORMATS: Mapping[str, str] = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
}
"""The formats of images by the suffixes of their files."""

_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "images": tuple(FORMATS),
    "frames": (".gif",),
    "audios": (".wav",),
}
_ARRAYS = (".npy",)
FIELDS = tuple(_SUFFIXES)
"""Fields of outputs that can be written as media files."""


def suffixes_of(field: str) -> tuple[str, ...]:
    """Return the possible suffixes of files for this field of an output, the usual one first."""
    return _SUFFIXES.get(field, _ARRAYS)


def suffix_of(field: str) -> str:
    """Return the usual suffix of files for this field of an output."""
    return suffixes_of(field)[0]


def check_suffix(path: Path, field: str) -> None:
    """Check that a file has a suffix for this field of an output.

    Raises:
        ImageFileError: if it has another one.
    """
    if path.suffix.lower() not in suffixes_of(field):
        raise ImageFileError(
            f"{shown(str(path))} can't be written, because {field} are written as "
            f"{' or '.join(suffixes_of(field))}; give it such a suffix"
        )


def check_writable(output: Path, longest: Path | None = None) -> None:
    """Check in advance that `output` can be written.

    Args:
        longest: the longest name of other files that are written beside it.

    Raises:
        ImageFileError: if its folder is not a folder or not writable, or its name is not valid.
    """
    try:
        os.fsencode(output)
    except UnicodeEncodeError:
        raise ImageFileError(
            f"{shown(str(output))} has characters that no file name can have here; give another "
            f"--output"
        ) from None
    try:
        if output.is_dir():
            raise ImageFileError(f"{shown(str(output))} is a folder; give the name of a file in it")
        (longest or output).exists()  # raises if the name is too long
        folder = next((p for p in output.absolute().parents if p.exists()), Path(output.anchor))
        if not folder.is_dir():
            raise NotADirectoryError(f"{str(folder)!r} is not a folder")
        with tempfile.NamedTemporaryFile(dir=folder, prefix=UNFINISHED):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, ImageFileError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise ImageFileError(
            f"{shown(str(output))} can't be written: {reason}; give another --output"
        ) from error


def write(path: Path, field: str, value: Any, record: Record, rates: Mapping[str, int]) -> Path:
    """Write one result with its record, atomically; return the path.

    An existing file is replaced; missing folders are created.

    Args:
        path: the file, whose suffix decides the format.
        field: the field of the output: `images` for an image, `frames` for a list of images,
            `audios` for an array (samples,) or (channels, samples) in [-1, 1], or another one for
            an array of any shape, which is written without the record.
        rates: `frame_rate` and `sampling_rate`.

    Raises:
        ImageFileError: if the file can't be written, or its suffix doesn't fit the result.
    """
    check_suffix(path, field)
    suffix = path.suffix.lower()
    record = record.shareable()
    text = record.text()
    if field == "images":
        save: Callable[[Path], Any] = partial(_save_image, value, record, text, suffix)
    elif field == "frames":
        save = partial(_save_frames, value, text, rates["frame_rate"])
    elif field == "audios":
        save = partial(_save_sound, value, text, rates["sampling_rate"])
    else:
        save = partial(_save_array, value)
    return written(path, save)


def written(path: Path, save: Callable[[Path], Any]) -> Path:
    """Write a file by `save`, which receives a temporary path, and move it to `path`.

    Raises:
        ImageFileError: if the file can't be written.
    """
    try:
        Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as file:
            save(file)
    except OSError as error:
        reason = error.strerror or error
        raise ImageFileError(f"{shown(str(path))} can't be written: {reason}") from error
    return path


def _save_image(image: Any, record: Record, text: str, suffix: str, file: Path) -> None:
    texts = {KEY: text, "parameters": clean(parameters_of(record, image.size), keep="\n")}
    save_image(image, file, texts, FORMATS[suffix])


def _save_frames(frames: Sequence[Any], text: str, rate: int, file: Path) -> None:
    frames[0].save(
        file, format="GIF", save_all=True, append_images=frames[1:], duration=round(1000 / rate),
        loop=0, comment=text.encode(),
    )  # fmt: skip


def _save_sound(sound: np.ndarray, text: str, rate: int, file: Path) -> None:
    channels = sound if sound.ndim == 2 else sound[None]
    samples = (channels.T.clip(-1, 1) * 32767).round().astype("<i2")
    with wave.open(str(file), "wb") as target:
        target.setparams((len(channels), 2, rate, 0, "NONE", ""))
        target.writeframes(samples.tobytes())
    add_to_wav(file, {KEY: text})


def _save_array(values: np.ndarray, file: Path) -> None:
    import numpy as np

    with file.open("wb") as target:
        np.save(target, values, allow_pickle=False)
