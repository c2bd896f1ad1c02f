"""The memory that engines take, and the memory that they can give back."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from torch import Tensor

_CGROUP = Path("/sys/fs/cgroup")
_MADV_DONTNEED = getattr(mmap, "MADV_DONTNEED", 4)


def available_memory() -> int | None:
    """Return the bytes of main memory that a program can still get; None if unknown.

    Linux says it, and a container may have a lower limit.
    """
    found: int | None = None
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found = int(line.split()[1]) * 1024
    with suppress(OSError, ValueError):
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        # Pages of files are given back when they are needed.
        for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith(("inactive_file ", "active_file ")):
                used -= int(line.split()[1])
        found = limit - used if found is None else min(found, limit - used)
    return found


def drop_mapped_pages(tensors: Iterable[Tensor]) -> int:
    """Give back the pages of these tensors that lie in files; they are read again when used.

    Tensors in ordinary memory, and in a mapping of which this process changed a page, are left
    alone. Does nothing except on Linux.

    Returns:
        the bytes in the mappings of which pages were given back.
    """
    if sys.platform != "linux":
        return 0
    starts = {one.untyped_storage().data_ptr() for one in tensors if one.device.type == "cpu"}
    dropped = 0
    advise = ctypes.CDLL(None, use_errno=True).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for first, last in _clean_mappings():
        is_theirs = any(first <= start < last for start in starts)
        if is_theirs and advise(first, last - first, _MADV_DONTNEED) == 0:
            dropped += last - first
    return dropped


def _clean_mappings() -> list[tuple[int, int]]:
    """The address ranges of this process that map files without a changed page."""
    found = []
    span: tuple[int, int] | None = None
    with suppress(OSError):
        for line in Path("/proc/self/smaps").read_text(errors="replace").splitlines():
            name, _, value = line.partition(" ")
            if "-" in name and not name.endswith(":"):
                low, _, high = name.partition("-")
                fields = value.split()
                # Permissions, offset, device, inode, path; executable code is not of tensors.
                is_file = len(fields) > 4 and fields[3] != "0" and "x" not in fields[0]
                span = (int(low, 16), int(high, 16)) if is_file else None
            elif name == "Anonymous:" and span is not None and value.split()[0] == "0":
                found.append(span)
    return found
