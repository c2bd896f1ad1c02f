"""Opens the files in the arguments of a request."""

from __future__ import annotations

import functools
import hashlib
import os
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError, ImageFileError
from autopipe.regular import opened
from autopipe.utils import in_mode, load_image
from autopipe.wording import error_summary, shown

from .inputs import is_address
from .request import File

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_LARGEST = 1 << 32
"""The largest file, in bytes."""

MOST_PIXELS = 1 << 30
"""The most pixels of all frames of a video together."""


def open_file(
    file: File, kind: str, name: str, folder: Path | None = None, *, allow_addresses: bool = False
) -> Any:
    """Return what a file contains, as calls take it.

    Args:
        file: the file. If its hash is given, it is checked.
        kind: `image` (RGB), `mask` (L), `video` (a list of RGB images), or `audio` (an array of
            shape (channels, samples) in [-1, 1]).
        name: how the user wrote the argument, for messages.
        folder: the folder that the file must be in, and that relative paths begin in; None for the
            current folder and any file.
        allow_addresses: whether an image or mask may be a URL.

    Raises:
        ArgumentError: if the file is not in the folder, or is a URL that is not allowed.
        ImageFileError: if the file can't be read, or has another hash.
    """
    if is_address(file.file):
        if not allow_addresses or kind not in ("image", "mask"):
            raise ArgumentError(
                f"{name} is the address {shown(file.file)}, and only files are opened here; save "
                f"what is there, and give the path of that file"
            )
        if file.sha256 is not None:
            raise ArgumentError(
                f"{name} is the address {shown(file.file)} with a hash, which can't be checked; "
                f"save what is there, and give the path of that file"
            )
        return _READERS[kind](file.file)
    path = _place(file.file, name, folder)
    if file.sha256 is not None:
        _check(path, file.sha256, name)
    return _READERS[kind](path)


def _place(file: str, name: str, folder: Path | None) -> str:
    """Return the path of a file; one that must be in a folder has no links left."""
    try:
        if folder is None:
            return os.path.expanduser(file)
        path = (folder / file).resolve()
        if path.is_relative_to(folder.resolve()):
            return str(path)
    except (OSError, RuntimeError, ValueError) as error:  # a null character, a loop of links
        raise ImageFileError(
            f"{name} can't be read from {shown(file)}: {error_summary(error)}"
        ) from error
    raise ArgumentError(
        f"{name} is the file {shown(file)}, which is not in the folder {shown(str(folder))}; copy "
        f"it there, and give its name"
    )


def _check(path: str, sha256: str, name: str) -> None:
    """Check the hash of a file.

    Raises:
        ImageFileError: if it is another one, or the file can't be read.
    """
    found = hashlib.sha256()
    try:
        with opened(path, _LARGEST) as stream:
            while block := stream.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise ImageFileError(
            f"{name} can't be read from {shown(path)}: {error_summary(error)}"
        ) from error
    if found.hexdigest() != sha256.lower():
        raise ImageFileError(
            f"{name} is the file {shown(path)}, which has changed: its SHA-256 begins with "
            f"{found.hexdigest()[:10]}, not with {shown(sha256[:10])}; give the original file, or "
            f"leave out the hash"
        )


def _mask(path: str) -> Image:
    return load_image(path, functools.partial(in_mode, mode="L"))


def _frames(path: str) -> list[Image]:
    """Return the frames of a file that Pillow can read, such as an animated GIF."""
    import PIL.Image
    import PIL.ImageSequence

    try:
        with opened(path, _LARGEST) as stream, PIL.Image.open(stream) as video:
            width, height = video.size
            frames: list[Image] = []
            for frame in PIL.ImageSequence.Iterator(video):
                if (len(frames) + 1) * width * height > MOST_PIXELS:
                    raise ValueError(f"its frames have more than {MOST_PIXELS:,} pixels")
                frames.append(frame.convert("RGB"))
            return frames
    except Exception as error:  # PIL's readers raise many kinds of exceptions
        raise ImageFileError(
            f"{shown(path)} can't be read as an animation ({error_summary(error)}); give a GIF, a "
            f"WebP or an APNG"
        ) from error


def _sound(path: str) -> np.ndarray:
    """Read a 16-bit WAV file as an array of shape (channels, samples) in [-1, 1]."""
    import numpy as np

    try:
        with opened(path, _LARGEST) as stream, wave.open(stream, "rb") as source:
            if source.getsampwidth() != 2:
                raise wave.Error(f"it has {8 * source.getsampwidth()} bits per sample")
            samples = np.frombuffer(source.readframes(source.getnframes()), "<i2")
            return samples.reshape(-1, source.getnchannels()).T.astype(np.float32) / 32768
    except (OSError, EOFError, ValueError, wave.Error) as error:
        raise ImageFileError(
            f"{shown(path)} can't be read as a 16-bit WAV file: {error_summary(error)}"
        ) from error


_READERS: Mapping[str, Callable[[str], Any]] = {
    "image": load_image,
    "mask": _mask,
    "video": _frames,
    "audio": _sound,
}
