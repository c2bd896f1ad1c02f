"""The main memory of this machine."""

from __future__ import annotations

import os
from pathlib import Path

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def main_memory() -> int | None:
    """Return the bytes of main memory that this process may use at most; None if unknown."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        # A container may have a lower limit than its machine.
        return min(found, int(_CONTAINER.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return found
