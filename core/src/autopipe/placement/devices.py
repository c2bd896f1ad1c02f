"""Devices: those of this machine, the one that a caller names, and their memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from ..errors import ArgumentError, ArgumentTypeError, PlacementError, nearest
from ..sizes import parse_size
from ..wording import shown
from .allocator import trim
from .machine import main_memory

CPU = torch.device("cpu")

_MOST_DEVICES = 128
"""Torch supports no more devices of one type."""

DeviceLike = torch.device | str | int
"""A device as callers name it; a number is the index of an accelerator."""


def accelerator() -> torch.device | None:
    """Return the type of accelerator of this machine, such as `cuda`; None without one."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None


def devices_here() -> list[str]:
    """Return the names of this machine's devices, accelerators first."""
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
            f"{str(device)!r} is not available; torch finds {', '.join(devices_here())} on this "
            f"machine: {str(error).partition(chr(10))[0]}"
        ) from error


def parse_device(
    device: DeviceLike, name: str = "device", others: Iterable[str] = ()
) -> torch.device:
    """Return the device that a caller names.

    Args:
        name: the name of the argument, for the message.
        others: other valid values of the argument, for the hint.

    Raises:
        ArgumentTypeError: if `device` is not a torch.device, a string or a number.
        ArgumentError: if there is no such type of device.
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
                f"{name}={shown(device)} needs an accelerator; torch finds none on this machine"
            )
        check_number(name, device)
        return torch.device(kind.type, device)
    try:
        return torch.device(device)
    except (RuntimeError, ValueError):
        here = devices_here()
        close = nearest(str(device), (*others, *here))
        raise ArgumentError(
            f"{name}={shown(device)} is not a device.{close} Available: {', '.join(here)}"
        ) from None


def check_number(name: str, number: object) -> None:
    """Check that `number`, the argument `name`, is a valid index of an accelerator.

    Raises:
        ArgumentTypeError: if it is not an integer.
        ArgumentError: if it is negative or larger than 127.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise ArgumentTypeError(f"{name}={shown(number)} is not the index of an accelerator")
    if not 0 <= number < _MOST_DEVICES:
        raise ArgumentError(f"{name}={shown(number)} is out of range; indexes are from 0 to 127")


def numbered(device: torch.device, number: int = 0) -> torch.device:
    """Return `device` with an index, as its tensors have it; `number` if it has none."""
    if device.type in ("cpu", "meta"):
        return torch.device(device.type)
    return torch.device(device.type, number if device.index is None else device.index)


def main_device(device: DeviceLike | None = None) -> torch.device:
    """Return `device` with its index; by default the machine's accelerator, else the CPU."""
    found = accelerator() if device is None else parse_device(device)
    return CPU if found is None else numbered(found)


def offload_device(
    gpu_id: int | None, device: DeviceLike | None, before: torch.device | None
) -> torch.device:
    """Return the device of calls for offloading.

    Args:
        gpu_id: the index of the accelerator; by default the current one, else the first.
        device: the type of the device, or a device; by default the machine's accelerator.
        before: the current device, if there is one.

    Raises:
        ArgumentError: if `gpu_id` contradicts `device`, or there is no such type of device.
        PlacementError: if no device is given and the machine has no accelerator.
    """
    found = accelerator() if device is None else parse_device(device)
    if found is None:
        raise PlacementError(
            "offloading needs an accelerator; torch finds none on this machine. Install torch for "
            "your accelerator, or use the pipeline without offloading"
        )
    if gpu_id is not None:
        check_number("gpu_id", gpu_id)
    if gpu_id is not None and found.index is not None and device is not None:
        raise ArgumentError(
            f"gpu_id={gpu_id} and device={shown(device)} both have an index; give only one of them"
        )
    last = before.index if before is not None and before.type == found.type else None
    return numbered(found, gpu_id if gpu_id is not None else last or 0)


def free_memory() -> dict[torch.device, int]:
    """Return the free bytes of each accelerator and, as `cpu`, of main memory."""
    from accelerate.utils import get_max_memory

    return {device_of(key): size for key, size in get_max_memory().items()}


def whole_memory(device: torch.device) -> int | None:
    """Return the total bytes of `device` (main memory for the CPU); None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type not in ("cpu", "mps"):
        return None
    return main_memory()


def device_of(key: DeviceLike) -> torch.device:
    """Return the device of a key of `max_memory`; a number is the index of an accelerator."""
    return numbered(parse_device(key, "max_memory"))


def key_of(device: torch.device) -> int | str:
    """Return the name of a device in `hf_device_map`: its index if it has one."""
    return device.type if device.index is None else device.index


def memory_limits(max_memory: Mapping[DeviceLike, int | str] | None) -> dict[torch.device, int]:
    """Return the memory limit of each device in bytes; by default nine tenths of the free memory.

    Raises:
        ArgumentError: if a device or a size is not valid.
    """
    if max_memory is None:
        # The rest is for activations.
        return {device: size * 9 // 10 for device, size in free_memory().items()}
    if not isinstance(max_memory, Mapping):
        raise ArgumentError(
            f"max_memory={shown(max_memory)} must map devices to sizes, such as "
            f"{{0: '10GiB', 'cpu': '30GiB'}}"
        )
    return {device_of(key): parse_size(size, "max_memory") for key, size in max_memory.items()}


def empty_cache(device: torch.device) -> None:
    """Release the memory of `device` that torch caches."""
    backend = getattr(torch, device.type, None)
    if device.type != "cpu" and backend is not None and hasattr(backend, "empty_cache"):
        backend.empty_cache()


def give_back_memory() -> None:
    """Release freed memory that torch and the C library cache."""
    kind = accelerator()
    if kind is not None:
        empty_cache(kind)
    trim()
