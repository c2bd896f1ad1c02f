"""Saving over a folder so that what was there stays until the new content is whole.

The new files are written to a hidden folder inside the target, where there is always a right to
write and the file system is the same, and flushed to the disk. Then they change places with the
old ones, file by file: the files that say what a folder holds, its *heads*, are first put aside
under a mark, and come last. So a program that is killed leaves the old content, the new one, or a
folder without a head, which no library loads and of which ours says what to do. An error that the
program survives puts everything back.

Only files that are written anew, or that the caller names, are touched, and a subfolder that is
empty without them. The folder itself and everything else in it stay: a checkpoint's folder may be
a mounted volume, a repository of git, or somebody's home.

The hidden folder is locked by its program, so the next one to save can tell it from that of a
living one, and removes it.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import ArgumentError, ArgumentTypeError, CheckpointError
from ..regular import UNFINISHED as STAGING
from ..wording import shown
from .exchange import HEADS, MARK, Stale, flush, move_in, remove

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def replaced_folder(target: str | Path, stale: Stale) -> Iterator[Path]:
    """A folder to write into, whose content comes into `target` if the block ends without an error.

    Args:
        target: made if absent, parents too.

    Raises:
        ArgumentError: `target` is not a folder, or can't be the name of one.
        CheckpointError: the disk is full, or writing is not allowed. `target` is as it was.
    """
    folder = _checked(target)
    is_new = not os.path.exists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_left(folder)
        with _staging(folder) as staged:
            yield staged
            flush(staged)
            # One at a time: the files of two saves must not be mixed.
            with _locked(folder, wait=True):
                move_in(staged, folder, stale)
    except BaseException as error:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if not isinstance(error, OSError) or isinstance(error, CheckpointError):
            raise
        full = is_full(error)
        cure = "make room" if full else "see to that"
        reason = f"{folder} can't be saved: {'the disk is full' if full else error}"
        try:
            check_whole(folder)
        except CheckpointError as half_saved:
            raise CheckpointError(f"{reason}. {half_saved}") from error
        raise CheckpointError(
            f"{reason}. What was there is unchanged; {cure}, or give another folder"
        ) from error


def is_full(error: OSError) -> bool:
    """Whether there was no room on the disk, or none left for this user."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_whole(folder: Path) -> None:
    """Raise `CheckpointError` if a save into `folder` was interrupted.

    Where one goes on, its end is waited for, which is soon.
    """
    if _put_aside(folder) is not None:
        # Of a pipeline it is the folder above that is saved into.
        with _locked(folder, wait=True), _locked(folder.parent, wait=True):
            name = _put_aside(folder)
        if name is not None:
            raise CheckpointError(_half_saved(folder, name))


def _put_aside(folder: Path) -> str | None:
    """The head of `folder` that is put aside; None if none is."""
    for name in HEADS:
        if os.path.lexists(folder / (name + MARK)) and not os.path.lexists(folder / name):
            return name
    return None


def _half_saved(folder: Path, name: str) -> str:
    mark = name + MARK
    back = f"; if its other files are still the old ones, rename {mark} to {name}"
    with suppress(OSError):
        if not (folder / mark).stat().st_size:
            back = ""  # There was none before.
    return (
        f"{folder} is half saved: a save was interrupted while its {name} was put aside as {mark}. "
        f"Save again{back}"
    )


def _checked(target: object) -> Path:
    """The folder that a caller means.

    Raises:
        ArgumentTypeError: `target` is not a path.
        ArgumentError: no folder can have this name, or there is a file in its place.
    """
    if not isinstance(target, (str, os.PathLike)) or not isinstance(os.fspath(target), str):
        raise ArgumentTypeError(f"save_directory={shown(target)} is not a path; give a folder")
    text = os.fspath(target)
    try:
        if not text or "\0" in text:
            raise ValueError
        os.fsencode(text)
    except ValueError:
        raise ArgumentError(
            f"save_directory={shown(text)} can't be the name of a folder; give another one"
        ) from None
    # These take any name: those of Path raise for a long one, or an unknown user.
    text = os.path.expanduser(text)
    is_there = os.path.exists(text)
    try:
        folder = Path(os.path.realpath(text) if is_there else os.path.abspath(text))
    except FileNotFoundError:
        raise ArgumentError(
            f"save_directory={shown(text)} begins at the working folder, which is gone; give the "
            f"whole path"
        ) from None
    if is_there and not folder.is_dir():
        raise ArgumentError(f"{folder} is a file; give a folder to save into")
    return folder


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder inside `target` to write into, which no other process removes meanwhile."""
    while True:
        staged = target / f"{STAGING}{uuid.uuid4().hex[:12]}"
        staged.mkdir()
        with _locked(staged, wait=True):
            # Between the two it was unlocked, and another process may have removed it.
            if staged.exists():
                try:
                    yield staged
                finally:
                    remove(staged)
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
    """Remove from `target` what saves have left that belong to no living process."""
    for left in target.glob(f"{STAGING}*"):
        if not re.fullmatch(r"[0-9a-f]{12}", left.name.removeprefix(STAGING)):
            continue
        with _locked(left, wait=False) as is_left:
            if is_left:
                pieces = f"{left.name}-*"
                for piece in (*target.glob(pieces), *target.glob(f"*/{pieces}"), left):
                    remove(piece)
