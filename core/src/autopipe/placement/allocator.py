"""The allocator of the C library, which keeps the memory that a step frees for the next step.

By default glibc returns large freed blocks to the kernel at once. The next step then gets them
back page by page, each of them filled with zeros first, which takes up to a third of its time.
While a call computes on the CPU, freed memory therefore stays in the process. At the end of the
last call that runs, glibc returns memory by itself again, and what it kept is returned. This
changes no result.

Only glibc is changed, and only if neither `AUTOPIPE_ALLOCATOR=0` nor a setting of the user's own
for glibc is in the environment.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch

VARIABLE = "AUTOPIPE_ALLOCATOR"
"""The environment variable that turns this off, by the value 0."""

_MIB = 2**20

# The parameters of mallopt, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8

_KEEP = MappingProxyType(
    {
        # No block gets a mapping of its own, which ends with the block.
        _MMAP_MAX: 0,
        # -1: the end of the heap is never returned.
        _TRIM_THRESHOLD: -1,
    }
)
"""With these settings, glibc keeps freed memory."""

_RETURN = MappingProxyType(
    {
        _MMAP_MAX: 65536,
        # By default these two grow with the freed blocks, up to these limits. mallopt ends that,
        # so they are set to the limits, which a program with large tensors reaches in any case.
        _MMAP_THRESHOLD: 32 * _MIB,
        _TRIM_THRESHOLD: 64 * _MIB,
    }
)
"""With these settings, glibc returns large blocks, as it does by default."""

_OF_USERS = ("MMAP_MAX_", "MMAP_THRESHOLD_", "TRIM_THRESHOLD_", "TOP_PAD_")
"""The settings of glibc that users may make in the environment."""

_LITTLE = 16 * _MIB
"""Memory that is not worth returning, since the next call would fetch it again."""


class Allocator:
    """Changes the settings of glibc while at least one call runs, in any thread.

    Args:
        libc: the library, with `mallopt` and `malloc_trim`.
    """

    def __init__(self, libc: Any) -> None:
        self._libc = libc
        self._calls = 0
        self._before = 0
        self._lock = threading.Lock()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Context manager in which freed memory is kept; can be nested and shared by threads."""
        process = os.getpid()
        self._enter()
        try:
            yield
        finally:
            # In a forked process nothing has been counted.
            if process == os.getpid():
                self._leave()

    def _enter(self) -> None:
        with self._lock:
            self._calls += 1
            if self._calls == 1:
                self._before = _private_memory()
                self._set(_KEEP)

    def _leave(self) -> None:
        with self._lock:
            self._calls -= 1
            if self._calls:
                return
            self._set(_RETURN)
            grown = _private_memory() - self._before
        if grown > _LITTLE:
            self._libc.malloc_trim(0)

    def use_one_arena(self) -> None:
        """Let threads that begin later allocate from the memory of the first one. No undo.

        Other threads have heaps of 64 MiB, and return larger blocks whatever the settings are.
        """
        if not _is_set_for_glibc("ARENA_MAX"):
            self._libc.mallopt(_ARENA_MAX, 1)

    def begin_anew(self) -> None:
        """Forget the calls of the process that this one was forked from."""
        self._lock = threading.Lock()
        if self._calls:
            self._calls = 0
            self._set(_RETURN)

    def _set(self, settings: Mapping[int, int]) -> None:
        for parameter, value in settings.items():
            self._libc.mallopt(parameter, value)


@contextmanager
def keeping_memory(device: torch.device, *, in_new_threads: bool = False) -> Iterator[None]:
    """Context manager in which memory is kept, for calls that compute on `device`.

    Args:
        in_new_threads: whether calls in threads that begin in it keep all of their memory too,
            which can't be undone; for programs that do nothing but draw.
    """
    found = _allocator_for(device)
    if isinstance(found, str):
        yield
        return
    if in_new_threads:
        found.use_one_arena()
    with found.keeping():
        yield


def explanation(device: torch.device) -> str:
    """Return in a line whether calls that compute on `device` keep freed memory, and why not."""
    found = _allocator_for(device)
    if isinstance(found, str):
        return f"memory that a step frees is not kept for the next step: {found}"
    return f"memory that a step frees is kept for the next step ({VARIABLE}=0 turns this off)"


def trim() -> None:
    """Return freed memory that the C library keeps, if it is glibc."""
    found = _glibc()
    if found is not None:
        found.malloc_trim(0)


def _allocator_for(device: torch.device) -> Allocator | str:
    """Return the allocator to change for calls on `device`, or the reason not to."""
    if device.type != "cpu":
        return f"calls compute on {device}"
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE}=0 is set"
    return _allocator()


@functools.cache
def _allocator() -> Allocator | str:
    libc = _glibc()
    if libc is None:
        return "the C library is not glibc"
    if any(map(_is_set_for_glibc, _OF_USERS)):
        return "the environment has settings for glibc's malloc"
    if not _serves(libc):
        return "another library replaces glibc's malloc"
    if not _private_memory():
        return "the system doesn't tell how much memory this process has"
    made = Allocator(libc)
    os.register_at_fork(after_in_child=made.begin_anew)
    return made


@functools.cache
def _glibc() -> Any:
    """Return glibc, or None if the process uses another C library."""
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        _ = libc.gnu_get_libc_version, libc.mallopt, libc.malloc_trim
        libc.mallinfo.restype = _Mallinfo
    except (OSError, AttributeError):
        return None
    return libc


def _is_set_for_glibc(name: str) -> bool:
    """Whether the environment has a value for a setting of glibc's malloc, also as a tunable."""
    tunable = f"glibc.malloc.{name.lower().removesuffix('_')}="
    return f"MALLOC_{name}" in os.environ or tunable in os.environ.get("GLIBC_TUNABLES", "")


class _Mallinfo(ctypes.Structure):
    """What glibc counts; `hblkhd` are the bytes of blocks with a mapping of their own."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_int) for name in ("usmblks", "fsmblks", "uordblks", "fordblks")),
        ("keepcost", ctypes.c_int),
    ]


def _serves(libc: Any) -> bool:
    """Whether the process allocates from `libc`, not from a library loaded before it.

    A large block tells: glibc counts those that it gives.
    """
    program = ctypes.CDLL(None)
    program.malloc.argtypes, program.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    program.free.argtypes, program.free.restype = [ctypes.c_void_p], None
    size = 64 * _MIB
    before = libc.mallinfo().hblkhd
    block = program.malloc(size)
    # The counters are 32 bits wide and may wrap around.
    grown = (libc.mallinfo().hblkhd - before) % 2**32
    program.free(block)
    return bool(size <= grown < 2 * size)


def _private_memory() -> int:
    """Return the bytes of memory that this process doesn't share; 0 if unknown."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
