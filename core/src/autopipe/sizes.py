"""Parses and formats sizes in bytes."""

from __future__ import annotations

import re
from typing import SupportsInt

from .errors import ArgumentError
from .wording import shown

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


def parse_size(size: int | str, name: str = "max_shard_size") -> int:
    """Return bytes from a number, or from `"5GB"` (powers of 1000) or `"5GiB"` (powers of 1024).

    Args:
        name: the name of the argument, for the message.

    Raises:
        ArgumentError: if `size` is not a size, or not positive.
    """
    is_number = isinstance(size, SupportsInt) and not isinstance(size, bool)
    text = str(size).strip().upper() if is_number or isinstance(size, str) else ""
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)\s*([KMGT]I?B)?", text)
    found = 0 if match is None else int(float(match[1]) * _UNITS.get(match[2] or "", 1))
    if found <= 0:
        raise ArgumentError(f"{name}={shown(size)} is not a size; give bytes, or text like '5GB'")
    return found


def size_text(count: float) -> str:
    """Return bytes as text such as `"1.72 GB"` (powers of 1000)."""
    amount, units = float(count), ["B", "KB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.3g} {units[0]}"
