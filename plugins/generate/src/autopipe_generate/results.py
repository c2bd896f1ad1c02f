"""Names and formats of output files, which contain the settings that generated them."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import tempfile
import wave
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError, ImageFileError
from autopipe.regular import UNFINISHED, replaced
from autopipe.wording import clean, shown

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

_LONGEST = 48
_SUFFIX_OF = {"images": ".png", "frames": ".gif", "audios": ".wav"}
FIELDS = tuple(_SUFFIX_OF)
"""Fields of outputs that can be written as media files."""
_WRITTEN = {
    ".png": "images are written as PNG, which keeps their settings",
    ".gif": "frames are written as an animated GIF",
    ".wav": "sounds are written as WAV",
    ".npy": "other results are written as arrays",
}
SUFFIXES = tuple(_WRITTEN)
"""The suffixes of output files."""

# Names


def suffix_of(output: str) -> str:
    """Return the suffix of a file for this field of an output."""
    return _SUFFIX_OF.get(output, ".npy")


def output_name(
    requested: str | None, title: str, seed: int, count: int, suffixes: Sequence[str] = (".png",)
) -> Path:
    """Return the file to write.

    A requested file is used, even if it exists. Otherwise, and in a requested folder, the name is
    a new one made from `title` and the seed.

    Args:
        requested: the file or folder that the user names, or None.
        title: the prompt, or another description of the content.
        suffixes: the possible suffixes, as far as they are known in advance.

    Raises:
        ArgumentError: if the requested file has another suffix.
    """
    folder = Path(requested) if requested else Path()
    if requested and not (folder.is_dir() or requested.endswith(("/", os.sep))):
        if not folder.suffix:
            return folder.with_name(folder.name + suffixes[0])
        if folder.suffix.lower() not in suffixes:
            raise ArgumentError(
                f"{_WRITTEN[suffixes[0]]}, but {shown(requested)} ends in {shown(folder.suffix)}; "
                f"name it {shown(folder.with_suffix(suffixes[0]).name)}"
            )
        return folder
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:_LONGEST].strip("-")
    stem = f"{words or 'picture'}-{seed}"
    tries = (stem if i == 1 else f"{stem}-take{i}" for i in itertools.count(1))

    def is_new(path: Path) -> bool:
        ends = [path.with_suffix(suffix) for suffix in suffixes]
        return not any(p.exists() for end in ends for p in (end, *single_names(end, count)))

    return next(filter(is_new, (folder / f"{name}{suffixes[0]}" for name in tries)))


def single_names(output: Path, count: int) -> list[Path]:
    """Return the files of `count` images, where `output` is the contact sheet or the only image."""
    if count == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{i}{output.suffix}") for i in range(1, count + 1)]


def check_writable(output: Path, most: int = 1) -> None:
    """Check in advance that `output` can be written.

    Args:
        most: the number of images, as for `single_names`.

    Raises:
        ImageFileError: if its folder is not a folder or not writable, or its name is not valid.
    """
    try:
        if output.is_dir():
            raise ImageFileError(f"{shown(str(output))} is a folder; give the name of a file in it")
        single_names(output, most)[-1].exists()  # raises if the name is too long
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


# Files


def write(
    path: Path, field: str, one: Any, settings: dict[str, Any], rates: Mapping[str, int]
) -> dict[str, Any]:
    """Write one result atomically; return its settings, including its size.

    An existing file is replaced; missing folders are created.

    Args:
        field: the field of the output: `"images"` for an image, `"frames"` for a list of images,
            `"audios"` for an array (samples,) or (channels, samples) in [-1, 1], or another one
            for an array of any shape.
        settings: the settings that generated it. PNG files store them as text fields, GIF files as
            a comment.
        rates: `frame_rate` and `sampling_rate`.

    Raises:
        ImageFileError: if the file can't be written.
    """
    if field == "images":
        record = {**settings, "size": f"{one.width}x{one.height}"}
        _write(path, partial(one.save, format="PNG", pnginfo=_text_fields(record)))
    elif field == "frames":
        first, rate = one[0], rates["frame_rate"]
        size = f"{first.width}x{first.height}"
        record = {**settings, "size": size, "frames": len(one), "frame_rate": rate}
        how = {"append_images": one[1:], "duration": round(1000 / rate), "loop": 0}
        about = json.dumps(record, default=str).encode()
        _write(path, partial(first.save, format="GIF", save_all=True, comment=about, **how))
    elif field == "audios":
        rate = rates["sampling_rate"]
        record = {**settings, "samples": one.shape[-1], "sampling_rate": rate}
        _write(path, partial(_save_sound, one, rate))
    else:
        record = {**settings, "shape": "x".join(map(str, one.shape))}
        _write(path, partial(_save_array, one))
    return record


def _text_fields(settings: Mapping[str, Any]) -> PngInfo:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for key, value in settings.items():
        text.add_text(key, clean(str(value)))
    return text


def _save_sound(sound: np.ndarray, rate: int, file: Path) -> None:
    channels = sound if sound.ndim == 2 else sound[None]
    samples = (channels.T.clip(-1, 1) * 32767).round().astype("<i2")
    with wave.open(str(file), "wb") as target:
        target.setparams((len(channels), 2, rate, 0, "NONE", ""))
        target.writeframes(samples.tobytes())


def _save_array(values: np.ndarray, file: Path) -> None:
    import numpy as np

    with file.open("wb") as target:
        np.save(target, values, allow_pickle=False)


def _write(path: Path, save: Callable[[Path], Any]) -> None:
    try:
        Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as file:
            save(file)
    except OSError as error:
        reason = error.strerror or error
        raise ImageFileError(f"{shown(str(path))} can't be written: {reason}") from error


def contact_sheet(images: Sequence[Image]) -> Image:
    """Return one image with all `images` in a nearly square grid, filled up with white."""
    import PIL.Image

    from autopipe.utils import make_image_grid

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    blank = PIL.Image.new("RGB", images[0].size, "white")
    return make_image_grid(
        [*images, *[blank] * (rows * columns - len(images))], rows=rows, cols=columns
    )
