"""Placing the networks of a pipeline so that calls fit into a budget of memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..sizes import parse_size
from .budget import Way, choose, needs_of, ways
from .device_map import DISK, DeviceMap
from .devices import CPU, Place, accelerator, free_memory, parse_device
from .offload import ModelOffload, SequentialOffload
from .placement import Placement, tensors_of
from .pool import Pool

if TYPE_CHECKING:
    from .memory import MemoryMixin

AUTO = "auto"


def fit(
    pipe: MemoryMixin,
    pool: Pool,
    budget: int | str,
    *,
    device: Place | None = None,
    offload_folder: str | Path | None = None,
) -> None:
    """See `MemoryMixin.fit_memory`."""
    main = _main_device(device)
    networks = pipe._networks()
    needs = needs_of(networks, pool.roles())
    found = ways(needs)
    if main == CPU:
        from_disk = [Way("from the disk", found[-1].takes, found[-1].largest)]
        found = [found[0], *(from_disk if offload_folder is not None else [])]
    limit = _free(main, pipe) * 9 // 10 if budget == AUTO else parse_size(budget, "memory")
    choice = choose(
        found,
        limit,
        work=max((need.work for need in needs), default=0),
        asked=f"memory={budget!r} on {main}",
    )
    placements: dict[str, Any] = {
        "resident": lambda: Placement(reason=choice.reason),
        "model offload": lambda: ModelOffload(main, reason=choice.reason),
        "sequential offload": lambda: SequentialOffload(main, reason=choice.reason),
        "from the disk": lambda: DeviceMap(
            dict.fromkeys(networks, DISK), main, offload_folder=offload_folder, reason=choice.reason
        ),
    }
    pool.place(placements[choice.way.title]())
    if choice.way.title == "resident":
        pipe.to(main)
    if choice.is_tight:
        _cut_decoding(pipe)
    if not choice.fits:
        pipe.enable_attention_slicing()


def _main_device(device: Place | None) -> torch.device:
    kind = accelerator() if device is None else parse_device(device)
    if kind is None or kind.type == "cpu":
        return CPU
    return torch.device(kind.type, kind.index or 0)


def _free(device: torch.device, pipe: MemoryMixin) -> int:
    """What is free on `device` once the networks have left it."""
    own = [tensor for one in pipe._networks().values() for tensor in tensors_of(one)]
    return free_memory().get(device, 0) + sum(t.nbytes for t in own if t.device == device)


def _cut_decoding(pipe: MemoryMixin) -> None:
    """Let autoencoders work on one picture at a time, and on large ones in tiles."""
    for network in pipe._networks().values():
        for name in ("enable_slicing", "enable_tiling"):
            enable: Any = getattr(network, name, None)
            if enable is not None:
                enable()
