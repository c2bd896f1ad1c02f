"""Opens regular files from untrusted sources, and writes new files atomically.

Opening a named pipe blocks until another process writes to it, reading a device may never end, and
opening one may have side effects. So the type of a file is checked before it is opened, and again
afterwards, because another program may have replaced it. A size limit is checked, too, if there is
one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".autopipe-saving-"
"""The prefix of temporary files and folders, which a save creates and removes."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

_FLAGS = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"))


def opened(file: str | Path, largest: int | None = None) -> BinaryIO:
    """Open the regular file `file` for reading bytes. Links are followed.

    Args:
        largest: the maximum size in bytes.

    Raises:
        OSError: as for `look`, or if the file can't be opened.
    """
    look(file, largest)
    number = os.open(file, os.O_RDONLY | _FLAGS)
    try:
        _check(os.fstat(number), largest)
        return os.fdopen(number, "rb")
    except OSError:
        os.close(number)
        raise


def is_file(name: object) -> bool:
    """Whether `name`, which can be any object, is the path of a regular file."""
    return isinstance(name, (str, os.PathLike)) and os.path.isfile(name)


def look(file: str | Path, largest: int | None = None) -> os.stat_result:
    """Return the `stat` of a regular file without opening it.

    Raises:
        OSError: if there is no such file, it is not a regular file, or it has more than `largest`
            bytes. The message says which.
    """
    try:
        found = os.stat(file)
    except ValueError as error:  # a null character, or half a surrogate pair
        raise FileNotFoundError(f"the name is not valid for a file ({error})") from None
    _check(found, largest)
    return found


@contextmanager
def replaced(file: str | Path) -> Iterator[Path]:
    """Context manager that yields a temporary path and moves it to `file` if no error occurs.

    Until then `file` is unchanged, even if the program is killed. If `file` is a link, its target
    is replaced. A pipe, a device, or a file in a folder without write permission is written
    directly.

    Raises:
        OSError: if the file can't be written.
    """
    target = Path(os.path.realpath(file))
    unfinished = target.with_name(f"{UNFINISHED}{os.urandom(6).hex()}-file")
    mode = None
    with suppress(FileNotFoundError):
        mode = os.stat(file).st_mode
    if mode is not None and not (stat.S_ISREG(mode) and os.access(target.parent, os.W_OK)):
        yield Path(file)
        return
    unfinished.touch(exist_ok=False)
    try:
        yield unfinished
        if mode is not None:
            unfinished.chmod(stat.S_IMODE(mode))
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(unfinished, target)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _check(found: os.stat_result, largest: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(f"it is {kind}, not a regular file")
    if largest is not None and found.st_size > largest:
        raise OSError(f"it has {found.st_size:,} bytes; the limit for such files is {largest:,}")
