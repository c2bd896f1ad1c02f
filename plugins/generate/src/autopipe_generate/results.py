"""What is written: names that replace nothing unasked, and files that know how they were made."""

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
"""Fields of outputs that tools know to write."""
_WRITTEN = {
    ".png": "pictures are written as PNG, which keeps their settings",
    ".gif": "frames are written as an animated GIF",
    ".wav": "sounds are written as WAV",
    ".npy": "what is neither picture nor sound is written as an array",
}
SUFFIXES = tuple(_WRITTEN)
"""How files may end."""

# Names


def suffix_of(output: str) -> str:
    """How a file ends that holds this field of an output."""
    return _SUFFIX_OF.get(output, ".npy")


def output_name(
    asked: str | None, title: str, seed: int, count: int, suffixes: Sequence[str] = (".png",)
) -> Path:
    """The file to write.

    A name that was asked for is taken, whether there is such a file or not. Otherwise, and in
    a folder that was asked for, the name is made of `title` and the seed and is a new one.

    Args:
        title: the prompt, or what else tells the content.
        suffixes: how the file may end, as far as that is known before the work.

    Raises:
        ArgumentError: the name asked for says that the file is something else.
    """
    folder = Path(asked) if asked else Path()
    if asked and not (folder.is_dir() or asked.endswith(("/", os.sep))):
        if not folder.suffix:
            return folder.with_name(folder.name + suffixes[0])
        if folder.suffix.lower() not in suffixes:
            raise ArgumentError(
                f"{_WRITTEN[suffixes[0]]}; {shown(asked)} ends in {shown(folder.suffix)}. "
                f"Name it {shown(folder.with_suffix(suffixes[0]).name)}"
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
    """The files of `count` pictures, where `output` is the sheet that shows all (or the only)."""
    if count == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{i}{output.suffix}") for i in range(1, count + 1)]


def check_writable(output: Path, most: int = 1) -> None:
    """Find out before the work, not after it, that there is no way to write `output`.

    Args:
        most: how many pictures there will be, as for `single_names`.

    Raises:
        ImageFileError: its folder is none or may not be written to, or no file can have its name.
    """
    try:
        if output.is_dir():
            raise ImageFileError(f"{shown(str(output))} is a folder; give the name of a file in it")
        single_names(output, most)[-1].exists()  # Too long a name is an error of this question.
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
    """Write one result, whole or not at all; what it tells of itself, and how large it is.

    A file that is there is replaced; folders that are missing are made.

    Args:
        field: of the output that it comes from: `"images"` for a picture, `"frames"` for a list
            of them, `"audios"` for an array (samples,) or (channels, samples) in [-1, 1], or
            another for an array of any shape.
        settings: how it was made. Pictures keep them as text fields, frames as a comment.
        rates: `frame_rate` and `sampling_rate`.

    Raises:
        ImageFileError: the file system refuses.
    """
    if field == "images":
        told = {**settings, "size": f"{one.width}x{one.height}"}
        _write(path, partial(one.save, format="PNG", pnginfo=_text_fields(told)))
    elif field == "frames":
        first, rate = one[0], rates["frame_rate"]
        size = f"{first.width}x{first.height}"
        told = {**settings, "size": size, "frames": len(one), "frame_rate": rate}
        how = {"append_images": one[1:], "duration": round(1000 / rate), "loop": 0}
        about = json.dumps(told, default=str).encode()
        _write(path, partial(first.save, format="GIF", save_all=True, comment=about, **how))
    elif field == "audios":
        rate = rates["sampling_rate"]
        told = {**settings, "samples": one.shape[-1], "sampling_rate": rate}
        _write(path, partial(_save_sound, one, rate))
    else:
        told = {**settings, "shape": "x".join(map(str, one.shape))}
        _write(path, partial(_save_array, one))
    return told


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
    """All `images` in one picture, in rows as long as there are columns, white where none is."""
    import PIL.Image

    from autopipe.utils import make_image_grid

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    blank = PIL.Image.new("RGB", images[0].size, "white")
    return make_image_grid(
        [*images, *[blank] * (rows * columns - len(images))], rows=rows, cols=columns
    )
