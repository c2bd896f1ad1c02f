"""Opening files that others made: regular ones, of a size that they can have, and nothing else.

Opening a named pipe waits for somebody who writes into it, reading a device may never end, and
opening one may act on it. So what a name stands for is looked at before it is opened, and once
more when it is open, since another program may have put something else there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

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


def _check(found: os.stat_result, largest: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(f"it is {kind} where a file is expected")
    if largest is not None and found.st_size > largest:
        raise OSError(f"it has {found.st_size:,} bytes, and no such file has more than {largest:,}")
