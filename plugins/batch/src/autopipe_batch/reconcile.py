"""Compares the manifests of a folder with the files in it, and finds what is left to do.

A kill can fall between a file and its line in the manifest, and people delete and edit files. So
neither is believed alone: what is done has a line with the hash of its file, or is a whole file
with the record of its own request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from autopipe.regular import opened
from autopipe.wording import error_summary
from autopipe_requests.hashes import sha256_of
from autopipe_requests.record import KEY, Record
from autopipe_requests.request import ID_LENGTH

from .history import Entry, History
from .work import MOST_DEATHS

IMAGES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
"""The suffixes of images by their type."""

_OURS = re.compile(rf"([0-9a-f]{{{ID_LENGTH}}})(\.[a-z0-9]{{1,8}})")
_LARGEST = 1 << 32

ReadId = Callable[[Path], "str | None"]
"""Returns the id of the request whose record a whole file has; None if it isn't whole."""


@dataclass
class Reconciled:
    """What is left to do, and what was found; all by id.

    Attributes:
        todo: what is to be drawn.
        done: what is done.
        adopted: the names and hashes of the files of those of `done` that no manifest has.
        again: why what seemed done is drawn again.
        aside: what is set aside, with its entry.
    """

    todo: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    adopted: dict[str, tuple[str, str]] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    aside: dict[str, Entry] = field(default_factory=dict)


def reconcile(
    ids: Iterable[str],
    folder: Path,
    history: History,
    *,
    image: str = "png",
    retry: bool = False,
    trust: bool = False,
    read_id: ReadId | None = None,
) -> Reconciled:
    """Compare manifests and files for the requests `ids`. Nothing is written.

    Args:
        history: what the manifests of the folder say.
        image: the type of images, one of `IMAGES`; other results have only one.
        retry: whether to try again what is set aside.
        trust: whether to believe that existing files have not changed, instead of hashing them.
        read_id: how the record of a file without a line is read.
    """
    files = _files(folder, image)
    read = read_id or id_in
    found = Reconciled()
    for one in ids:
        entry, name = history.entries.get(one), files.get(one)
        if entry is not None and entry.state == "done" and not _is_other(entry.file, image):
            why = _difference(folder, entry, name, trust)
            if why is None:
                found.done.append(one)
                continue
            found.again[one] = why
        elif name is not None:
            if read(folder / name) == one:
                found.done.append(one)
                found.adopted[one] = name, sha256_of(folder / name)
                continue
            found.again[one] = f"{name} is not a whole file of this request"
        if history.deaths.get(one, 0) >= MOST_DEATHS and not retry:
            found.aside[one] = entry or Entry(id=one, state="set aside")
        else:
            found.todo.append(one)
    return found


def id_in(file: Path) -> str | None:
    """Return the id of the request whose record an image has; None if the file isn't whole."""
    import PIL.Image

    from autopipe_requests.pictures import texts_of

    try:
        record = Record.read(texts_of(file)[KEY])
        with opened(file, _LARGEST) as stream, PIL.Image.open(stream) as image:
            image.load()
    except (OSError, ValueError, KeyError, SyntaxError, PIL.Image.DecompressionBombError):
        return None
    return record.request.id


def _files(folder: Path, image: str) -> dict[str, str]:
    """Return the names of files of results by id; of images only those of the wanted type."""
    found: dict[str, str] = {}
    if not folder.is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in entries:
            if (
                _OURS.fullmatch(entry.name)
                and not _is_other(entry.name, image)
                and entry.is_file(follow_symlinks=False)
            ):
                found[entry.name[:ID_LENGTH]] = entry.name
    return found


def _is_other(name: str | None, image: str) -> bool:
    """Whether a file is an image of another type than the wanted one."""
    suffix = os.path.splitext(name or "")[1]
    return suffix != IMAGES[image] and suffix in IMAGES.values()


def _difference(folder: Path, entry: Entry, name: str | None, trust: bool) -> str | None:
    """Return what differs from what is said to be done, or None."""
    if name is None:
        return f"{entry.file} is missing"
    if entry.file != name:
        return f"{name} is not the file that was written"
    if trust:
        return None
    try:
        return None if sha256_of(folder / name) == entry.sha256 else f"{name} has changed"
    except OSError as error:
        return f"{name} can't be read: {error_summary(error)}"
