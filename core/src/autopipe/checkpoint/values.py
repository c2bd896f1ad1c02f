"""Whether weights are numbers: a file with NaN loads like any other, and draws black pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import CheckpointError
from .headers import Header

# Of each floating-point type: an integer type of its size, its least pattern of bits that is no
# number (all bits of the exponent set), and the bits without that of the sign.
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


def not_finite(file: Path, header: Header) -> dict[str, int]:
    """How many values of each tensor are NaN or infinite; tensors without any are left out.

    Raises:
        CheckpointError: the file can't be read.
    """
    import numpy as np

    found: dict[str, int] = {}
    try:
        with file.open("rb") as stream:
            for name, info in header.tensors.items():
                if info.dtype not in _BITS:
                    continue
                kind, exponent, magnitude = _BITS[info.dtype]
                count, left = 0, info.size
                stream.seek(info.offset)
                while left and (block := stream.read(min(left, _BLOCK))):
                    values = np.frombuffer(block, kind) & magnitude
                    count += int(np.count_nonzero(values >= exponent))
                    left -= len(block)
                if count:
                    found[name] = count
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error}") from error
    return found
