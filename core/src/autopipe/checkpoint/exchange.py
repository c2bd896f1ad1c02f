"""Replaces old files of a folder by new ones, all of them or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from ..errors import CheckpointError

HEADS = (
    "model_index.json",
    "config.json",
    "scheduler_config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
)
"""The files without which no library accepts a folder as a checkpoint; a pipeline's comes first."""

MARK = ".saving"
"""The suffix of a head that a save has renamed."""

Stale = Callable[[Path], Iterable[Path]]
"""A function from the target to its old files to remove, besides those that are replaced."""


def move_in(staged: Path, target: Path, stale: Stale) -> None:
    """Move the content of `staged` into `target`, and remove the old files that it replaces."""
    new = dict(_items(staged, target))
    # Files behind a link don't belong to the target.
    own = (path for path in stale(target) if path.parent == path.parent.resolve())
    gone = [path for path in sorted({*new, *own}) if os.path.lexists(path)]
    old = {path: _beside(path, staged, number) for number, path in enumerate(gone)}
    if len(new) == 1 and old.keys() <= new.keys():
        ((place, item),) = new.items()
        item.replace(place)
    else:
        try:
            for number, (place, item) in enumerate(new.items(), len(old)):
                if place.parent != target:
                    new[place] = _beside(place, staged, number)
                    try:
                        item.rename(new[place])
                    except OSError:
                        # A folder in the target may be on another file system. Copy before
                        # anything changes.
                        shutil.move(item, new[place])
                        flush(new[place])
            _change_places(new, old, target)
        finally:
            for piece in new.values():
                remove(piece)
    for place in new:
        if place.name in HEADS:
            remove(place.with_name(place.name + MARK))
    for place, piece in old.items():
        remove(piece)
        if place not in new and place.parent != target:
            with suppress(OSError):  # It is not empty.
                place.parent.rmdir()


def _beside(place: Path, staged: Path, number: int) -> Path:
    return place.with_name(f"{staged.name}-{number}")


def _items(staged: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the items to move, as pairs (destination, current path).

    Folders that exist in both are traversed.

    Raises:
        CheckpointError: if a file is where a folder must be, or the other way round.
    """
    for item in sorted(staged.iterdir()):
        place = target / item.name
        if not place.is_symlink() and place.exists() and place.is_dir() != item.is_dir():
            there, needed = ("folder", "file") if place.is_dir() else ("file", "folder")
            raise CheckpointError(
                f"{place} is a {there}, but a {needed} of that name must be saved; move it away"
            )
        if item.is_dir() and place.is_dir() and not place.is_symlink():
            yield from _items(item, place)
        else:
            yield place, item


def _change_places(new: dict[Path, Path], old: dict[Path, Path], target: Path) -> None:
    """Replace old items by new ones; after an error, everything is restored.

    Args:
        new: the current path of each new item, by its destination.
        old: the path to which each old item is moved until it is removed, by its place.
    """

    def rank(place: Path) -> tuple[bool, int, Path]:
        return place.name not in HEADS, len(place.parts), place

    with ExitStack() as undo:

        def move(path: Path, to: Path) -> None:
            path.rename(to)
            undo.callback(to.rename, path)

        for place in sorted({*new, *old}, key=rank):
            mark = place.with_name(place.name + MARK)
            is_head = place in new and place.name in HEADS
            if place in old:
                move(place, mark if is_head else old[place])
            elif is_head and not mark.exists():
                mark.touch()
                undo.callback(mark.unlink)
        _flush_one(target)
        for place in sorted(new, key=rank, reverse=True):
            if place.parent == target and place.name in HEADS:
                for folder in {other.parent for other in new}:
                    _flush_one(folder)
            move(new[place], place)
        undo.pop_all()
    _flush_one(target)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if possible."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def flush(path: Path) -> None:
    """Flush a file, or a folder with its content, to disk."""
    for one in (*path.rglob("*"), path):
        _flush_one(one)


def _flush_one(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
