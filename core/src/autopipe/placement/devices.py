"""Devices: which this machine has, which one a caller means, and what is free on each."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from ..errors import ArgumentError, ArgumentTypeError, PlacementError, nearest
from ..sizes import parse_size
from ..wording import shown

CPU = torch.device("cpu")

_CONTAINER = Path("/sys/fs/cgroup/memory.max")

_MOST_DEVICES = 128
"""Torch counts no more of a kind."""

DeviceLike = torch.device | str | int
"""A device as callers name it; a number counts those of the accelerator."""


def accelerator() -> torch.device | None:
    """The kind of accelerator that this machine has, such as `cuda`; None without one."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None


def devices_here() -> list[str]:
    """The names of this machine's devices, those of the accelerator first."""
    kind = accelerator()
    if kind is None:
        return ["cpu"]
    return [*(f"{kind.type}:{i}" for i in range(torch.accelerator.device_count())), "cpu"]


def check_here(device: torch.device) -> None:
    """Raise `PlacementError` unless torch can compute on `device` on this machine."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise PlacementError(
            f"{str(device)!r} can't be used here, where torch sees {', '.join(devices_here())}: "
            f"{str(error).partition(chr(10))[0]}"
        ) from error


def parse_device(
    device: DeviceLike, name: str = "device", others: Iterable[str] = ()
) -> torch.device:
    """The device that a caller names.

    Args:
        name: of the argument, for the message.
        others: what the argument may be besides.

    Raises:
        ArgumentError: there is no such kind of device.
    """
    if isinstance(device, bool) or not isinstance(device, DeviceLike):
        raise ArgumentTypeError(
            f"{name}={shown(device)} is not a device; give a torch.device, a name such as "
            f"{devices_here()[0]!r}, or the number of an accelerator"
        )
    if isinstance(device, int):
        kind = accelerator()
        if kind is None:
            raise ArgumentError(
                f"{name}={shown(device)} counts accelerators, and torch sees none here"
            )
        check_number(name, device)
        return torch.device(kind.type, device)
    try:
        return torch.device(device)
    except (RuntimeError, ValueError):
        here = devices_here()
        close = nearest(str(device), (*others, *here))
        raise ArgumentError(
            f"{name}={shown(device)} names no device.{close} There are here: {', '.join(here)}"
        ) from None


def check_number(name: str, number: object) -> None:
    """Raise unless `number`, the argument `name`, can be that of an accelerator.

    Raises:
        ArgumentTypeError: it is not a whole number.
        ArgumentError: no machine has so many, or it is negative.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise ArgumentTypeError(f"{name}={shown(number)} is not the number of an accelerator")
    if not 0 <= number < _MOST_DEVICES:
        raise ArgumentError(f"{name}={shown(number)}; accelerators are counted from 0 to 127")


def numbered(device: torch.device, number: int = 0) -> torch.device:
    """`device` as its tensors name it: with its number, here `number` if it has none."""
    if device.type in ("cpu", "meta"):
        return torch.device(device.type)
    return torch.device(device.type, number if device.index is None else device.index)


def main_device(device: DeviceLike | None = None) -> torch.device:
    """`device` with its number; if absent the machine's accelerator, or the CPU without one."""
    found = accelerator() if device is None else parse_device(device)
    return CPU if found is None else numbered(found)


def offload_device(
    gpu_id: int | None, device: DeviceLike | None, before: torch.device | None
) -> torch.device:
    """The device to compute on where the networks rest elsewhere.

    Args:
        gpu_id: which accelerator; the one used before if absent, else the first.
        device: which kind, or which one; what the machine has if absent.
        before: the one used before, if there was one.

    Raises:
        ArgumentError: `gpu_id` contradicts `device`, or there is no such kind of device.
        PlacementError: the machine has no accelerator, and no device is named.
    """
    found = accelerator() if device is None else parse_device(device)
    if found is None:
        raise PlacementError(
            "offloading brings networks to an accelerator when they are used, and torch sees none "
            "here; install torch for your accelerator, or leave the pipeline where it is"
        )
    if gpu_id is not None:
        check_number("gpu_id", gpu_id)
    if gpu_id is not None and found.index is not None and device is not None:
        raise ArgumentError(
            f"gpu_id={gpu_id} and device={shown(device)} both say which one; give gpu_id, or a "
            f"device with its number, not both"
        )
    last = before.index if before is not None and before.type == found.type else None
    return numbered(found, gpu_id if gpu_id is not None else last or 0)


def free_memory() -> dict[torch.device, int]:
    """The bytes that are free on each accelerator and, as `cpu`, in main memory."""
    from accelerate.utils import get_max_memory

    return {device_of(key): size for key, size in get_max_memory().items()}


def whole_memory(device: torch.device) -> int | None:
    """All bytes that `device` has, of the CPU main memory; None where that can't be told."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type not in ("cpu", "mps"):
        return None
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        # A container may have less than its machine.
        return min(found, int(_CONTAINER.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return found


def device_of(key: DeviceLike) -> torch.device:
    """The device of a key of `max_memory`: a number counts accelerators."""
    return numbered(parse_device(key, "max_memory"))


def key_of(device: torch.device) -> int | str:
    """How `hf_device_map` names a device: by its number where it has one."""
    return device.type if device.index is None else device.index


def memory_limits(max_memory: Mapping[DeviceLike, int | str] | None) -> dict[torch.device, int]:
    """How many bytes each device may hold: what is given, or nine tenths of what is free.

    Raises:
        ArgumentError: a device or a size can't be read.
    """
    if max_memory is None:
        # The rest is for what a call computes.
        return {device: size * 9 // 10 for device, size in free_memory().items()}
    if not isinstance(max_memory, Mapping):
        raise ArgumentError(
            f"max_memory={shown(max_memory)} must give a size for each device, such as "
            f"{{0: '10GiB', 'cpu': '30GiB'}}"
        )
    return {device_of(key): parse_size(size, "max_memory") for key, size in max_memory.items()}


def empty_cache(device: torch.device) -> None:
    """Give back the memory of `device` that torch keeps for later."""
    backend = getattr(torch, device.type, None)
    if device.type != "cpu" and backend is not None and hasattr(backend, "empty_cache"):
        backend.empty_cache()


def give_back_memory() -> None:
    """Give freed memory to the system that torch and the C library keep for later."""
    kind = accelerator()
    if kind is not None:
        empty_cache(kind)
    if sys.platform == "linux":
        # There is none in other libraries than glibc.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
