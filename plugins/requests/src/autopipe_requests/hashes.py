"""Hashes of the local files that a request names."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from autopipe.errors import CheckpointError, ImageFileError
from autopipe.regular import opened
from autopipe.wording import error_summary, shown

if TYPE_CHECKING:
    from autopipe.checkpoint.plan import Plan
    from autopipe.checkpoint.source import Source

_BLOCK = 1 << 20
_WHOLE = 1 << 24
"""Files of a checkpoint up to this size, 16 MiB, are read whole."""
_DIGITS = 32
_PIECES, _PIECE = 16, 1 << 12
"""Of larger ones, so many pieces of so many bytes are read, evenly distributed."""


def sha256_of(file: str | Path) -> str:
    """Return the SHA-256 of a regular file, in hexadecimal digits.

    The result is kept until the size or the time of the file changes.

    Raises:
        ImageFileError: if the file can't be read.
    """
    try:
        found = os.stat(file)
        return _sha256(os.fspath(file), found.st_size, found.st_mtime_ns)
    except (OSError, ValueError) as error:
        raise ImageFileError(f"{shown(str(file))} can't be read: {error_summary(error)}") from error


@functools.lru_cache(maxsize=4096)
def _sha256(file: str, size: int, time: int) -> str:
    found = hashlib.sha256()
    with opened(file) as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def fingerprint(plan: Plan, file: str | Path | None = None) -> str:
    """Return a hash of the local files that a plan reads; of a chain, of both stages.

    Args:
        file: the single file that the plan reads, if it reads one.

    Raises:
        CheckpointError: if a file can't be read.
    """
    found = fingerprint_of(plan.source, [item.path for item in plan.items], file)
    if plan.stage is None:
        return found
    other = plan.stage.source.commit or fingerprint(plan.stage)
    return hashlib.sha256(f"{found} {other}".encode()).hexdigest()[:_DIGITS]


def fingerprint_of(source: Source, paths: Iterable[str], file: str | Path | None = None) -> str:
    """Return a hash of files of a checkpoint.

    It contains names and sizes, small files whole, and of large ones 16 pieces of 4 KiB, so that it
    takes little time. It finds other weights, but not somebody who hides a change.

    Args:
        paths: the paths of the files inside the checkpoint.
        file: the single file that is read in place of them, if it is one.

    Raises:
        CheckpointError: if a file can't be read.
    """
    found = hashlib.sha256()
    try:
        if file is not None:
            with opened(os.path.expanduser(file)) as stream:
                _add(found, stream, "")
        for path in sorted(paths) if file is None else ():
            with source.open(source.place(path)) as stream:
                _add(found, stream, path)
    except OSError as error:
        raise CheckpointError(
            f"{shown(source.name)} can't be read: {error_summary(error)}"
        ) from error
    return found.hexdigest()[:_DIGITS]


def _add(found: hashlib._Hash, stream: BinaryIO, name: str) -> None:
    size = os.fstat(stream.fileno()).st_size
    found.update(f"{name}\0{size}\0".encode("utf-8", "backslashreplace"))
    if size <= _WHOLE:
        found.update(stream.read())
        return
    for i in range(_PIECES):
        stream.seek(i * (size - _PIECE) // (_PIECES - 1))
        found.update(stream.read(_PIECE))
