"""How many workers a machine has room for, and how many threads each of them gets."""

from __future__ import annotations

import os
from pathlib import Path

from autopipe.errors import AutopipeError
from autopipe.registry import Registry
from autopipe_requests.request import Request

QUOTA = Path("/sys/fs/cgroup/cpu.max")

_ITSELF = 700 * 2**20
"""Bytes that Python, torch and the code of a family take in each worker."""

_UNKNOWN = 8 * 2**30
"""Bytes for a pipeline whose networks can't be built without its weights."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        found = os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, min(found, int(quota) // int(period)))
    except (OSError, ValueError):
        return found


def workers_for(request: Request, registry: Registry, images: int = 1) -> int:
    """Return the number of workers on the CPU: one for each core, as far as memory allows.

    Each is taken to need its own weights, although those that are read as they are share them.

    Args:
        request: one that takes as much memory as any.
        images: the number of images that are drawn together.
    """
    from autopipe.placement.devices import CPU, free_memory

    try:
        takes = memory_of(request, registry, images)
    except AutopipeError:
        takes = _UNKNOWN
    free = free_memory().get(CPU, 0) * 9 // 10
    return max(1, min(cores(), free // (_ITSELF + takes)))


def memory_of(request: Request, registry: Registry, images: int) -> int:
    """Return the bytes of weights and activations of a pipeline."""
    from autopipe_requests.estimating import estimate

    found = estimate(request, registry)
    return found.weights + images * found.work
