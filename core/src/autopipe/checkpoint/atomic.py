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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import ArgumentError, CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MOST_FILES = 10_000
_EXCHANGE = 2
_EXCHANGES = {"linux": ("renameat2", -100), "darwin": ("renameatx_np", -2)}
"""By system: the function that exchanges, and its number for the current folder."""

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
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(folder)
        with _beside(folder) as temporary:
            yield temporary
            _flush(temporary)
            if folder.exists():
                _keep_others(folder, temporary, stale)
                shutil.copymode(folder, temporary)
            _change_places(temporary, folder)
            _flush_one(folder.parent)
    except CheckpointError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise CheckpointError(
            f"{folder} can't be saved: {'the disk is full' if full else error}. What was there is "
            f"unchanged"
        ) from error


def _prefix(target: Path) -> str:
    """How the names of temporary folders beside `target` begin."""
    return f".{target.name}.saving-"


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, which no other process removes meanwhile."""
    while True:
        temporary = target.parent / f"{_prefix(target)}{uuid.uuid4().hex[:12]}"
        temporary.mkdir()
        with _locked(temporary, wait=True):
            # Between the two it was unlocked, and another process may have removed it.
            if temporary.exists():
                try:
                    yield temporary
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
                return


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Inside, `folder` is locked; not if another process has it, or where there are no locks.

    Args:
        wait: wait for the other process.
    """
    is_locked = False
    with ExitStack() as opened:
        with suppress(OSError):
            if fcntl is not None:
                descriptor = os.open(folder, os.O_RDONLY)
                opened.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                is_locked = True
        yield is_locked


def _remove_left(target: Path) -> None:
    """Remove the temporary folders of `target` that belong to no living process."""
    for left in target.parent.iterdir():
        if not left.name.startswith(_prefix(target)):
            continue
        # An old folder that was put aside is the only one there is until the new one is in place.
        if left.suffix == _ASIDE and not target.exists():
            continue
        with _locked(left, wait=False) as is_left:
            if is_left:
                shutil.rmtree(left, ignore_errors=True)


def _keep_others(old: Path, new: Path, stale: Stale) -> None:
    """Link the files of `old` into `new`, less stale ones and those that `new` has."""
    for count, file in enumerate(_files(old)):
        if count == _MOST_FILES:
            raise ArgumentError(
                f"{old} holds more than {_MOST_FILES:,} files, so it is no folder of a checkpoint; "
                f"give a folder of its own to save into"
            )
        relative = file.relative_to(old)
        kept = new / relative
        if not stale(relative.as_posix()) and not os.path.lexists(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            _link(file, kept)


def _files(folder: Path) -> Iterator[Path]:
    """All files under `folder`, and links, which are not followed."""
    return (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def _change_places(new: Path, target: Path) -> None:
    """Put `new` where `target` is; `new` is the old folder afterwards, or gone."""
    if not target.exists():
        new.rename(target)
    elif target in (Path.cwd(), *Path.cwd().parents) or target.is_mount():
        _replace_files(new, target)
    elif not _exchange(new, target):
        aside = new.with_name(new.name + _ASIDE)
        target.rename(aside)
        try:
            new.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _replace_files(new: Path, target: Path) -> None:
    """Move the files of `new` into `target`, for a folder that can't be replaced itself.

    That is a mount point, or one that this or another process stands in. Each file is old or
    new at any moment; weights go first and configs last.
    """
    written = sorted(
        (p.relative_to(new) for p in _files(new)),
        key=lambda p: (p.suffix == ".json", len(p.parts) == 1, p),
    )
    for relative in written:
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        os.replace(new / relative, target / relative)
    for old in list(_files(target)):
        if old.relative_to(target) not in written:
            old.unlink()


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system can't."""
    try:
        name, here = _EXCHANGES[sys.platform]
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (KeyError, OSError, AttributeError):
        return False
    function.argtypes = (ctypes.c_int, ctypes.c_char_p) * 2 + (ctypes.c_uint,)
    done: int = function(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE)
    return done == 0


def _flush(folder: Path) -> None:
    """Have the system write all files under `folder` to the disk."""
    for path in (*folder.rglob("*"), folder):
        _flush_one(path)


def _flush_one(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
