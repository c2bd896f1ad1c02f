"""Reads the header of a safetensors file, which lists its tensors and shows whether it is complete.

Format: 8 bytes with the header's length N (little-endian), N bytes of JSON, then the tensors.
Reading a header needs no tensor library, so `inspect` is fast and works without torch.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...errors import AutopipeError, CheckpointError, DamagedFileError
from ...json_files import parse_json
from ...regular import opened
from ...wording import shown
from .kinds import misnamed

_LARGEST_HEADER = 1 << 25
"""In bytes; headers of the largest files have some hundred thousand."""

_MOST_AXES = 64
_START = 64
_LFS = b"version https://git-lfs.github.com/spec/"

ITEM_BYTES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4,
    "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a file: `offset` (from the start of the file) and `size` in bytes.

    If it is `transposed`, the file has its two axes the other way round, and `shape` is that of the
    file. If it is `swapped`, the file has the two halves of its first axis the other way round.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    transposed: bool = False
    swapped: bool = False


@dataclass(frozen=True)
class Header:
    """The tensors of a safetensors file, in their order, and the size of the file in bytes.

    `metadata` has the texts that its writer added.
    """

    tensors: Mapping[str, TensorInfo]
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)


def main_dtype(headers: list[Header]) -> str | None:
    """Return the floating-point dtype of most bytes of several files; None if there is none."""
    weight: Counter[str] = Counter()
    for info in (info for header in headers for info in header.tensors.values()):
        if "F" in info.dtype:
            weight[info.dtype] += info.size
    return weight.most_common(1)[0][0] if weight else None


def read_header(file: Path, open_file: Callable[[Path], BinaryIO] = opened) -> Header:
    """Read and check the header of `file`, and that the file is complete.

    Args:
        open_file: the function that opens it.

    Raises:
        CheckpointError: if the file can't be read.
        DamagedFileError: if it is empty, truncated, a Git LFS pointer, or not a safetensors file.
    """
    with reading(file), open_file(file) as stream:

        def read(start: int, stop: int) -> bytes:
            stream.seek(start)
            return stream.read(stop - start)

        return header_of(file, os.fstat(stream.fileno()).st_size, read)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Context manager that converts system errors to a `CheckpointError` that names `file`."""
    try:
        yield
    except AutopipeError:
        raise
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error}") from error
    except (MemoryError, RuntimeError) as error:  # torch raises these, also when out of memory
        raise CheckpointError(
            f"{file} can't be read: {str(error)[:200] or 'there is not enough memory'}"
        ) from error


def header_of(file: Path | str, size: int, read: Callable[[int, int], bytes]) -> Header:
    """Return the header of a file of `size` bytes, of which `read(start, stop)` returns a part.

    Args:
        file: the name of the file, for messages.

    Raises:
        DamagedFileError: as for `read_header`.
    """
    start = read(0, min(size, _START))
    check_content(file, start, size)
    length = int.from_bytes(start[:8], "little")
    if size < 8:
        raise _damaged(file, f"it has {size} bytes")
    if length > min(size - 8, _LARGEST_HEADER):
        raise _damaged(file, f"its header claims {length:,} bytes, but the file has {size:,}")
    try:
        content = parse_json(read(8, 8 + length))
    except (ValueError, RecursionError) as error:
        raise _damaged(file, f"its header is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise _damaged(file, "its header is not a JSON object")
    tensors: dict[str, TensorInfo] = {}
    added = content.pop("__metadata__", None)
    texts = added.items() if isinstance(added, dict) else ()
    for name, entry in content.items():
        match entry:
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, stop]} if (
                dtype in ITEM_BYTES
                and len(shape) <= _MOST_AXES
                and all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, stop))
                and stop - begin == math.prod(shape) * ITEM_BYTES[dtype]
            ):
                info = TensorInfo(dtype, tuple(shape), 8 + length + begin, stop - begin)
                tensors[name] = info
            case _:
                raise _damaged(file, f"the entry {shown(name)} in its header is invalid")
    end = 8 + length
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size)))
    for info in tensors.values():
        if info.offset != end:
            raise _damaged(file, f"its tensors overlap or leave gaps at byte {end:,}")
        end = info.offset + info.size
    if end != size:
        lack = f" ({end - size:,} are missing)" if end > size else ""
        raise _damaged(file, f"it should have {end:,} bytes, but has {size:,}{lack}")
    return Header(tensors, size, {n: text for n, text in texts if isinstance(text, str)})


def check_content(file: Path | str, start: bytes, size: int) -> None:
    """Raise `DamagedFileError` for an empty file, a Git LFS pointer, or another format."""
    if size == 0:
        raise _damaged(file, "it is empty")
    if start.startswith(_LFS):
        raise DamagedFileError(
            f"{file} is a Git LFS pointer of {size} bytes, not the weights; run `git lfs install` "
            f"and `git lfs pull` in the folder, or download the checkpoint again"
        )
    if problem := misnamed(Path(file).name, start):
        raise DamagedFileError(f"{file} {problem}")


def _damaged(file: Path | str, what: str) -> DamagedFileError:
    return DamagedFileError(f"{file} is damaged: {what}; fetch this file again")


# For each floating-point dtype: an integer dtype of its size, the smallest bit pattern that is not
# a finite number (all bits of the exponent set), and a mask of all bits except the sign.
_BITS: Mapping[str, tuple[str, int, int]] = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF),
    "F32": ("<u4", 0x7F80_0000, 0x7FFF_FFFF),
    "F16": ("<u2", 0x7C00, 0x7FFF),
    "BF16": ("<u2", 0x7F80, 0x7FFF),
    "F8_E5M2": ("u1", 0x7C, 0x7F),
    # No infinity; only this one pattern is NaN.
    "F8_E4M3": ("u1", 0x7F, 0x7F),
}
_BLOCK = 1 << 22


def not_finite(
    file: Path, header: Header, open_file: Callable[[Path], BinaryIO] = opened
) -> dict[str, int]:
    """Count the values of each tensor that are NaN or infinite; other tensors are left out.

    Args:
        open_file: the function that opens `file`.

    Raises:
        CheckpointError: if the file can't be read.
    """
    import numpy as np

    found: Counter[str] = Counter()
    with reading(file), open_file(file) as stream:
        for name, info in header.tensors.items():
            if info.dtype not in _BITS:
                continue
            kind, exponent, magnitude = _BITS[info.dtype]
            left = info.size
            stream.seek(info.offset)
            while left and (block := stream.read(min(left, _BLOCK))):
                values = np.frombuffer(block, kind) & magnitude
                found[name] += int(np.count_nonzero(values >= exponent))
                left -= len(block)
    return dict(+found)
