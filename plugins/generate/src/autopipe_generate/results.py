"""Names of output files, several results in one run, and their contact sheet."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError
from autopipe.tasks import Task
from autopipe.wording import shown
from autopipe_requests import writing
from autopipe_requests.pictures import save_image
from autopipe_requests.record import KEY, settings

if TYPE_CHECKING:
    from PIL.Image import Image

    from autopipe_requests.drawing import Drawn

_LONGEST = 48
_WRITTEN: Mapping[str, str] = {
    ".png": "images are written as PNG, JPEG or WebP",
    ".gif": "frames are written as an animated GIF",
    ".wav": "sounds are written as WAV",
    ".npy": "other results are written as arrays",
}

# Names


def suffixes_of(task: Task | None) -> tuple[str, ...]:
    """Return the possible suffixes of the files of a task, the usual one first."""
    if task is not None:
        return writing.suffixes_of(task.output)
    return tuple(suffix for field in (*writing.FIELDS, "") for suffix in writing.suffixes_of(field))


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
        ImageFileError: as for `autopipe_requests.writing.check_writable`.
    """
    writing.check_writable(output, single_names(output, most)[-1])


# Files


def write(drawn: Sequence[Drawn], output: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Write each result into a file; return the files with their settings.

    Several images come with a contact sheet, which is `output` itself.

    Raises:
        ImageFileError: if a file can't be written.
    """
    first = drawn[0]
    if output.suffix.lower() not in writing.suffixes_of(first.field):
        output = output.with_suffix(first.suffix)
    done = [
        (one.save(file), _settings(one))
        for one, file in zip(drawn, single_names(output, len(drawn)))
    ]
    if first.field == "images" and len(drawn) > 1:
        done.append((output, _write_sheet(drawn, output)))
    return done


def _settings(one: Drawn) -> dict[str, Any]:
    """Return the settings of a result, including its size."""
    found = settings(one.record)
    if one.field == "images":
        return {**found, "size": f"{one.value.width}x{one.value.height}"}
    if one.field == "frames":
        frame = one.value[0]
        size = {"size": f"{frame.width}x{frame.height}", "frames": len(one.value)}
        return {**found, **size, "frame_rate": one.rates["frame_rate"]}
    if one.field == "audios":
        rate = one.rates["sampling_rate"]
        return {**found, "samples": one.value.shape[-1], "sampling_rate": rate}
    return {**found, "shape": "x".join(map(str, one.value.shape))}


def _write_sheet(drawn: Sequence[Drawn], output: Path) -> dict[str, Any]:
    """Write the contact sheet with the records of all its images; return its settings."""
    sheet = contact_sheet([one.value for one in drawn])
    records = [json.loads(one.record.shareable().text()) for one in drawn]
    texts = {KEY: json.dumps({"format": 1, "sheet": records})}
    kind = writing.FORMATS[output.suffix.lower()]
    writing.written(output, partial(save_image, sheet, texts=texts, format=kind))
    seeds = [one.record.request.seed for one in drawn]
    size = {"size": f"{sheet.width}x{sheet.height}", "seed": f"{seeds[0]} to {seeds[-1]}"}
    return {**settings(drawn[0].record), **size}


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
