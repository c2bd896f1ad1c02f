"""Old and new files of a folder changing places, all of them or none."""

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
"""The files without which no library takes a folder for a checkpoint, that of a pipeline first."""

MARK = ".saving"
"""What the name of a head that is put aside has behind it."""

Stale = Callable[[Path], Iterable[Path]]
"""From the target to the old files in it that are to go, besides those that are written anew."""


def move_in(staged: Path, target: Path, stale: Stale) -> None:
    """Move the content of `staged` into `target`, and remove the old files that it replaces."""
    new = dict(_items(staged, target))
    # What is behind a link is not the target's.
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
                        # A folder in the target may be on another file system: what has to be
                        # copied is copied before anything changes.
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
            with suppress(OSError):  # There is more in it.
                place.parent.rmdir()


def _beside(place: Path, staged: Path, number: int) -> Path:
    return place.with_name(f"{staged.name}-{number}")


def _items(staged: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """What is to be moved: its place and where it is now. Folders in both are gone into.

    Raises:
        CheckpointError: a file is where a folder has to be, or the other way round.
    """
    for item in sorted(staged.iterdir()):
        place = target / item.name
        if not place.is_symlink() and place.exists() and place.is_dir() != item.is_dir():
            there, needed = ("folder", "file") if place.is_dir() else ("file", "folder")
            raise CheckpointError(
                f"{place} is a {there}, and a {needed} of that name is to be saved; move it away"
            )
        if item.is_dir() and place.is_dir() and not place.is_symlink():
            yield from _items(item, place)
        else:
            yield place, item


def _change_places(new: dict[Path, Path], old: dict[Path, Path], target: Path) -> None:
    """Let new items take the places of old ones; if that fails, everything is put back.

    Args:
        new: where each item is now, by its place.
        old: where each old item is to wait until it is removed, by its place.
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
    """Remove a file, or a folder with all in it, if that can be done."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def flush(path: Path) -> None:
    """Have the system write a file, or a folder and all in it, to the disk."""
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
