"""Regular files: opening those that others made, and writing new ones whole.

Opening a named pipe waits for somebody who writes into it, reading a device may never end, and
opening one may act on it. So what a name stands for is looked at before it is opened, and once
more when it is open, since another program may have put something else there. A size is checked
too, where files of a kind can have no more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".autopipe-saving-"
"""How the names of all begin that a save makes for itself and removes."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

_FLAGS = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"))


def opened(file: str | Path, largest: int | None = None) -> BinaryIO:
    """`file`, open for reading bytes. Links are followed.

    Args:
        largest: the bytes that it may have.

    Raises:
        OSError: as `look`; or it can't be opened.
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
    """Whether `name` is the path of a regular file; anything may be asked about."""
    return isinstance(name, (str, os.PathLike)) and os.path.isfile(name)


def look(file: str | Path, largest: int | None = None) -> os.stat_result:
    """What the system tells of a regular file, which is not opened.

    Raises:
        OSError: there is no such file, it is not a regular one, or it has more than `largest`
            bytes. The message says which.
    """
    try:
        found = os.stat(file)
    except ValueError as error:  # a null character, or half a surrogate pair
        raise FileNotFoundError(f"no file can have this name ({error})") from None
    _check(found, largest)
    return found


@contextmanager
def replaced(file: str | Path) -> Iterator[Path]:
    """A path to write to, whose content becomes that of `file` if the block ends without an error.

    Until then `file` is what it was, also where the program is killed. A link stays, and its end is
    replaced. What can't be replaced is written to itself: a pipe, a device, or a file in a folder
    that is not ours to write into.

    Raises:
        OSError: it can't be written.
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
        raise OSError(f"it is {kind} where a file is expected")
    if largest is not None and found.st_size > largest:
        raise OSError(f"it has {found.st_size:,} bytes, and no such file has more than {largest:,}")
