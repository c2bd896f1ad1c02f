"""Writing a folder whole or not at all.

The new content is written into a temporary folder beside the target, flushed to the disk, and
changes places with the target in one step of the file system. Whenever the program is killed,
the target is the old folder or the new one.

Files in the target that are not replaced stay: they are linked into the new folder.

A program that is killed leaves its temporary folder behind. It was locked by that program, so the
next one to save can tell it from the folder of a living one, and removes it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ArgumentError, CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MOST_FILES = 10_000
_EXCHANGE = 2
_ASIDE = ".old"

Stale = Callable[[str], bool]
"""Whether a file of the old folder, a path with slashes, is not to be kept."""


@contextmanager
def replaced_folder(target: str | Path, stale: Stale) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends without an error.

    Args:
        target: made if absent, parents too.
        stale: which old files go, besides those that are written anew.

    Raises:
        ArgumentError: `target` is a file, or a folder with so many files that it can't be meant.
        CheckpointError: the disk is full, or writing is not allowed. `target` is as it was.
    """
    folder = Path(target).expanduser()
    folder = folder.resolve() if folder.exists() else folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{folder} is a file; give a folder to save into")
    temporary: Path | None = None
    lock: int | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(folder)
        temporary, lock = _make_locked(folder)
        yield temporary
        _flush(temporary)
        if folder.exists():
            _keep_others(folder, temporary, stale)
            shutil.copymode(folder, temporary)
        _change_places(temporary, folder)
        _flush_folder(folder.parent)
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise CheckpointError(
            f"{folder} can't be saved: {'the disk is full' if full else error}. What was there is "
            f"unchanged"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _prefix(target: Path) -> str:
    """How the names of temporary folders beside `target` begin."""
    return f".{target.name}.saving-"


def _make_locked(target: Path) -> tuple[Path, int | None]:
    """A temporary folder beside `target` and the lock on it, which ends with this process."""
    while True:
        temporary = target.parent / f"{_prefix(target)}{uuid.uuid4().hex[:12]}"
        temporary.mkdir()
        lock = _lock(temporary, wait=True)
        # Between the two it was unlocked, and another process may have removed it.
        if temporary.exists():
            return temporary, lock
        if lock is not None:
            os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """A lock on `folder`; None if another process has it and `wait` is False, or without locks."""
    if fcntl is None:
        return None
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def _remove_left(target: Path) -> None:
    """Remove the temporary folders of `target` that belong to no living process."""
    for left in target.parent.iterdir():
        if not left.name.startswith(_prefix(target)):
            continue
        # An old folder that was put aside is the only one there is until the new one is in place.
        if left.suffix == _ASIDE and not target.exists():
            continue
        lock = _lock(left, wait=False)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _keep_others(old: Path, new: Path, stale: Stale) -> None:
    """Link the files of `old` into `new`, less stale ones and those that `new` has."""
    count = 0
    for folder, folders, names in os.walk(old):
        above = Path(folder)
        links = [name for name in folders if (above / name).is_symlink()]
        for name in (*names, *links):
            count += 1
            if count > _MOST_FILES:
                raise ArgumentError(
                    f"{old} holds more than {_MOST_FILES:,} files, so it is no folder of a "
                    f"checkpoint; give a folder of its own to save into"
                )
            relative = (above / name).relative_to(old)
            kept = new / relative
            if not stale(relative.as_posix()) and not os.path.lexists(kept):
                kept.parent.mkdir(parents=True, exist_ok=True)
                _link(above / name, kept)


def _link(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _change_places(new: Path, target: Path) -> None:
    """Put `new` where `target` is; `new` is the old folder afterwards, or gone."""
    if not target.exists():
        new.rename(target)
        return
    if target not in (Path.cwd(), *Path.cwd().parents) and not target.is_mount():
        if _exchange(new, target):
            return
        aside = new.with_name(new.name + _ASIDE)
        target.rename(aside)
        try:
            new.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
        return
    _replace_files(new, target)


def _replace_files(new: Path, target: Path) -> None:
    """Move the files of `new` into `target`, for a folder that can't be replaced itself.

    That is a mount point, or one that this or another process stands in. Each file is old or
    new at any moment; weights go first and configs last.
    """
    written = sorted(
        (p.relative_to(new) for p in new.rglob("*") if p.is_symlink() or p.is_file()),
        key=lambda p: (p.suffix == ".json", len(p.parts) == 1, p),
    )
    for relative in written:
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        os.replace(new / relative, target / relative)
    for old in [p for p in target.rglob("*") if p.is_symlink() or p.is_file()]:
        if old.relative_to(target) not in written:
            old.unlink()


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system can't."""
    names = {"linux": "renameat2", "darwin": "renameatx_np"}
    name = names.get(sys.platform)
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name) if name else None
    except (OSError, AttributeError):
        function = None
    if function is None:
        return False
    here = -100 if sys.platform == "linux" else -2  # AT_FDCWD
    function.argtypes = (ctypes.c_int, ctypes.c_char_p) * 2 + (ctypes.c_uint,)
    done: int = function(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE)
    return done == 0


def _flush(folder: Path) -> None:
    """Have the system write all files under `folder` to the disk."""
    for above, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(above, name), "rb") as stream:
                os.fsync(stream.fileno())
        _flush_folder(Path(above))


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
