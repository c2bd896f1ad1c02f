"""Where pictures go: names that are asked for, and names that replace nothing."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

from ..errors import ArgumentError, ImageFileError

_LONGEST = 48


def output_name(asked: str | None, prompt: str, seed: int, count: int) -> Path:
    """The file to write.

    A name that was asked for is taken, whether there is such a file or not. Otherwise, and in
    a folder that was asked for, the name is made of the prompt and the seed and is a new one.

    Raises:
        ArgumentError: the name asked for says that the file is something else than a PNG.
    """
    folder = Path(asked) if asked else Path()
    if asked and not (folder.is_dir() or asked.endswith(("/", os.sep))):
        if not folder.suffix:
            return folder.with_name(folder.name + ".png")
        if folder.suffix.lower() != ".png":
            raise ArgumentError(
                f"pictures are written as PNG, which keeps their settings; {asked!r} ends in "
                f"{folder.suffix!r}. Name it {folder.with_suffix('.png').name!r}"
            )
        return folder
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:_LONGEST].strip("-")
    stem = f"{words or 'picture'}-{seed}"
    tries = (stem if i == 1 else f"{stem}-take{i}" for i in itertools.count(1))
    return next(
        path
        for path in (folder / f"{name}.png" for name in tries)
        if not any(p.exists() for p in (path, *single_names(path, count)))
    )


def single_names(output: Path, count: int) -> list[Path]:
    """The files of `count` pictures, where `output` is the sheet that shows all (or the only)."""
    if count == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{i}{output.suffix}") for i in range(1, count + 1)]


def check_writable(output: Path) -> None:
    """Find out before the work, not after it, that there is no way to write `output`.

    Raises:
        ImageFileError: its folder is none, or may not be written to.
    """
    if output.is_dir():
        raise ImageFileError(f"{str(output)!r} is a folder")
    folder = next((p for p in output.absolute().parents if p.exists()), Path(output.anchor))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "is not a folder" if not folder.is_dir() else "may not be written to"
        raise ImageFileError(f"{str(output)!r} can't be written: {str(folder)!r} {why}")
