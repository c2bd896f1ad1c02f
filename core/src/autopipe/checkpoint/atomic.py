"""Saves into a folder so that its old content stays until the new content is complete.

The new files are written to a hidden folder inside the target, which is on the same file system and
writable, and flushed to disk. Then they replace the old files one by one. The files that describe
a folder, its *heads*, are renamed first and replaced last. So a killed program leaves the old
content, the new content, or a folder without a head, which no library loads and which we report.
After an error, everything is restored.

Only files that are replaced or that the caller names are touched, and subfolders that become empty.
The folder itself and everything else in it stay: it may be a mounted volume, a git repository, or a
home directory.

The hidden folder is locked by its process. A later save removes those of dead processes.
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
    """Context manager that yields a folder and moves its content into `target` if no error occurs.

    Args:
        target: the folder; created if absent, including parents.
        stale: returns the old files to remove.

    Raises:
        ArgumentError: if `target` is not a folder, or not a valid name for one.
        CheckpointError: if the disk is full or writing is not permitted. `target` is unchanged.
    """
    folder = _checked(target)
    is_new = not os.path.exists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_left(folder)
        with _staging(folder) as staged:
            yield staged
            flush(staged)
            # The files of two saves must not be mixed.
            with _locked(folder, wait=True):
                move_in(staged, folder, stale)
    except BaseException as error:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if not isinstance(error, OSError) or isinstance(error, CheckpointError):
            raise
        full = is_full(error)
        hint = "free disk space" if full else "fix that"
        reason = f"{folder} can't be saved: {'the disk is full' if full else error}"
        try:
            check_whole(folder)
        except CheckpointError as half_saved:
            raise CheckpointError(f"{reason}. {half_saved}") from error
        raise CheckpointError(
            f"{reason}. The folder is unchanged; {hint}, or give another folder"
        ) from error


def is_full(error: OSError) -> bool:
    """Whether the disk or the user's quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_whole(folder: Path) -> None:
    """Check that no save into `folder` was interrupted, after waiting for one in progress.

    Raises:
        CheckpointError: if a save was interrupted.
    """
    if _put_aside(folder) is not None:
        # A pipeline's save locks the folder above.
        with _locked(folder, wait=True), _locked(folder.parent, wait=True):
            name = _put_aside(folder)
        if name is not None:
            raise CheckpointError(_half_saved(folder, name))


def _put_aside(folder: Path) -> str | None:
    """Return the head of `folder` that a save has renamed, or None."""
    for name in HEADS:
        if os.path.lexists(folder / (name + MARK)) and not os.path.lexists(folder / name):
            return name
    return None


def _half_saved(folder: Path, name: str) -> str:
    mark = name + MARK
    back = f"; or, if its other files are still the old ones, rename {mark} to {name}"
    with suppress(OSError):
        if not (folder / mark).stat().st_size:
            back = ""  # There was no old one.
    return (
        f"{folder} is incomplete: a save was interrupted while {name} was renamed to {mark}. "
        f"Save again{back}"
    )


def _checked(target: object) -> Path:
    """Return `target` as an absolute path.

    Raises:
        ArgumentTypeError: if `target` is not a path.
        ArgumentError: if it is not a valid name for a folder, or is a file.
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
            f"save_directory={shown(text)} is not a valid name for a folder; give another one"
        ) from None
    # The functions of os.path accept any name; those of Path raise for long names or unknown users.
    text = os.path.expanduser(text)
    is_there = os.path.exists(text)
    try:
        folder = Path(os.path.realpath(text) if is_there else os.path.abspath(text))
    except FileNotFoundError:
        raise ArgumentError(
            f"save_directory={shown(text)} is relative to the working directory, which no longer "
            f"exists; give an absolute path"
        ) from None
    if is_there and not folder.is_dir():
        raise ArgumentError(f"{folder} is a file; give a folder to save into")
    return folder


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Yield a new folder inside `target`, locked so that no other process removes it."""
    while True:
        staged = target / f"{STAGING}{uuid.uuid4().hex[:12]}"
        staged.mkdir()
        with _locked(staged, wait=True):
            # Before it was locked, another process may have removed it.
            if staged.exists():
                try:
                    yield staged
                finally:
                    remove(staged)
                return


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Lock `folder`; yield whether it is locked.

    It is not if another process has the lock, or the system has no locks.

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
    """Remove what saves of dead processes left in `target`."""
    for left in target.glob(f"{STAGING}*"):
        if not re.fullmatch(r"[0-9a-f]{12}", left.name.removeprefix(STAGING)):
            continue
        with _locked(left, wait=False) as is_left:
            if is_left:
                pieces = f"{left.name}-*"
                for piece in (*target.glob(pieces), *target.glob(f"*/{pieces}"), left):
                    remove(piece)
