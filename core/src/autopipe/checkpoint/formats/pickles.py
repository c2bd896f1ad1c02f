"""Checks the pickle of a PyTorch file without running it.

The restricted loader of torch runs no code, but it allocates the memory that a pickle asks for. A
file is an archive of one small pickle and the tensors, or (before PyTorch 1.6) several pickles in a
row, followed by the tensors.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...errors import (
    CheckpointError,
    DamagedFileError,
    QuantizedWeightsError,
    UnsafeCheckpointError,
)
from ...wording import cut, listed

_LARGEST = 1 << 23
"""The largest pickle or directory of an archive, in bytes; 8,000 tensors take 2,000,000."""

_MOST_STEPS = 1 << 20
"""The most steps of unpickling, each of up to some hundred bytes; 8,000 tensors take 500,000."""

_MAGIC = 0x1950A86A20F9469CFC6C
"""The beginning of files before PyTorch 1.6, which then have four more pickles."""

_TAKE_MEMORY = frozenset({"builtins.bytearray", "__builtin__.bytearray"})
"""Classes that allocate as much memory as a number in the pickle says. No tensor needs them."""

_QUANTIZERS = frozenset({"bitsandbytes", "optimum", "torchao"})
"""Packages whose classes a file of quantized weights refers to."""

_LONGEST_NAME = 200
"""The longest name in a pickle; torch takes minutes to refuse one of 100,000 characters."""


def check_pickle(file: Path, stream: BinaryIO) -> list[str]:
    """Return the names to which the pickle of `file`, open as `stream`, refers, in their order.

    Raises:
        DamagedFileError: if the file has no pickle, or one that would take absurd memory.
        UnsafeCheckpointError: if it allocates memory of an arbitrary size.
    """
    try:
        names = list(dict.fromkeys(_names(stream)))
    except Exception as error:  # zipfile and pickletools raise many kinds of exceptions
        raise DamagedFileError(
            f"{file} is damaged ({cut(str(error), 200)}); fetch this file again"
        ) from error
    taking = [name for name in names if name in _TAKE_MEMORY or len(name) > _LONGEST_NAME]
    if taking:
        raise refused(file, taking)
    return names


def refused(file: Path, names: list[str]) -> CheckpointError:
    """Return the error for a pickle that refers to `names`."""
    for name in names:
        if (package := name.partition(".")[0]) in _QUANTIZERS:
            return QuantizedWeightsError.of(file, package)
    # Names that every file of tensors refers to come last.
    odd_first = sorted(names, key=lambda name: name.startswith(("torch.", "collections.")))
    references = listed(odd_first, 5) or "objects by its own numbers"
    return UnsafeCheckpointError(
        f"{file} contains more than tensors, so it is not read: unpickling it could run code (it "
        f"refers to {references}). Use a checkpoint with safetensors"
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
    """A stream that limits each read, because zipfile reads the whole directory of an archive."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        if size > _LARGEST:
            raise ValueError(f"its directory has {size:,} bytes; the limit is {_LARGEST:,}")
        return self._stream.read(_LARGEST if size < 0 else size)


def _of_archive(stream: BinaryIO) -> bytes:
    """Return the pickle in an archive whose tensors are not compressed."""
    with zipfile.ZipFile(cast(BinaryIO, _Sparing(stream))) as archive:
        every = archive.infolist()
        pickled = [one for one in every if one.filename.rpartition("/")[2] == "data.pkl"]
        if len(pickled) != 1:
            raise ValueError("it is an archive without a pickle of tensors")
        if any(
            one.compress_type != zipfile.ZIP_STORED for one in every if "/data/" in one.filename
        ):
            raise ValueError("its tensors are compressed, which PyTorch never does")
        if pickled[0].file_size > _LARGEST:
            raise ValueError(
                f"its pickle claims {pickled[0].file_size:,} bytes; the limit is {_LARGEST:,}"
            )
        with archive.open(pickled[0]) as content:
            return content.read(_LARGEST)
