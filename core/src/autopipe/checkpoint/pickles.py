"""What unpickling a file of PyTorch would do, told from its pickle, which is not run.

The restricted loader of torch runs no code, yet it takes the memory that a pickle asks for. A file
is an archive that holds one small pickle and the tensors, or (before PyTorch 1.6) several pickles
one after another, then the tensors.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import DamagedFileError, UnsafeCheckpointError
from ..wording import cut, listed

_LARGEST = 1 << 23
"""Bytes of the pickle in an archive, or of its directory: 8,000 tensors take 2,000,000."""

_MOST_STEPS = 1 << 20
"""Of unpickling: each may take some hundred bytes of memory. 8,000 tensors take 500,000."""

_MAGIC = 0x1950A86A20F9469CFC6C
"""With which files before PyTorch 1.6 begin, and then have four more pickles."""

_TAKE_MEMORY = frozenset({"builtins.bytearray", "__builtin__.bytearray"})
"""What takes as much memory as a number in the pickle says. No tensor needs it."""

_LONGEST_NAME = 200
"""Of what a pickle refers to: torch takes minutes to refuse one of 100,000 characters."""


def check_pickle(file: Path, stream: BinaryIO) -> list[str]:
    """The names that the pickle of `file`, open as `stream`, refers to, in their order.

    Raises:
        DamagedFileError: the file has no pickle, or one that would take absurd memory.
        UnsafeCheckpointError: it asks for memory of an arbitrary size.
    """
    try:
        names = list(dict.fromkeys(_names(stream)))
    except Exception as error:  # those of zipfile and pickletools are of many kinds
        raise DamagedFileError(
            f"{file} is damaged ({cut(str(error), 200)}); fetch this file again"
        ) from error
    taking = [name for name in names if name in _TAKE_MEMORY or len(name) > _LONGEST_NAME]
    if taking:
        raise refused(file, taking)
    return names


def refused(file: Path, names: list[str]) -> UnsafeCheckpointError:
    """The error for a pickle that refers to `names`."""
    # Those that any file of tensors refers to come last.
    odd_first = sorted(names, key=lambda name: name.startswith(("torch.", "collections.")))
    told = listed(odd_first, 5) or "objects by numbers of its own"
    return UnsafeCheckpointError(
        f"{file} holds more than tensors, so it is not read: unpickling it could run code "
        f"(it refers to {told}). Use a checkpoint with safetensors"
    )


def _names(stream: BinaryIO) -> Iterator[str]:
    stream.seek(0)
    if stream.read(2) == b"PK":
        stream = io.BytesIO(_of_archive(stream))
    stream.seek(0)
    pending = 1
    while pending:
        pending -= 1
        texts = ["", ""]
        for number, (code, argument, _) in enumerate(pickletools.genops(stream)):
            if number > _MOST_STEPS:
                raise ValueError(f"unpickling it takes more than {_MOST_STEPS:,} steps")
            if code.name in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".", 1)
            elif code.name == "STACK_GLOBAL":
                yield ".".join(texts)
            elif isinstance(argument, str):
                texts = [texts[1], argument]
            elif argument == _MAGIC:
                pending = 4


class _Sparing:
    """A stream that gives only so much at once, since the directory of an archive is read whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        if size > _LARGEST:
            raise ValueError(f"a list of {size:,} bytes says what is in it")
        return self._stream.read(_LARGEST if size < 0 else size)


def _of_archive(stream: BinaryIO) -> bytes:
    """The pickle in an archive, whose tensors lie in it as they are."""
    with zipfile.ZipFile(cast(BinaryIO, _Sparing(stream))) as archive:
        every = archive.infolist()
        pickled = [one for one in every if one.filename.rpartition("/")[2] == "data.pkl"]
        if len(pickled) != 1:
            raise ValueError("it is an archive without tensors")
        if any(
            one.compress_type != zipfile.ZIP_STORED for one in every if "/data/" in one.filename
        ):
            raise ValueError("its tensors are compressed, which PyTorch never does")
        if pickled[0].file_size > _LARGEST:
            raise ValueError(
                f"its pickle should have {pickled[0].file_size:,} bytes, more than any model's"
            )
        with archive.open(pickled[0]) as content:
            return content.read(_LARGEST)
