"""Placing the networks of a pipeline so that calls fit into a budget of memory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..sizes import parse_size
from .budget import Way, choose, needs_of, ways
from .device_map import DISK, DeviceMap
from .devices import CPU, Place, accelerator, free_memory, numbered, parse_device
from .offload import ModelOffload, SequentialOffload
from .placement import Placement, tensors_of
from .pool import Pool

if TYPE_CHECKING:
    from .memory import MemoryMixin

_log = logging.getLogger(__name__)

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
    has_disk = offload_folder is not None
    if main == CPU:
        from_disk = [Way("from the disk", found[-1].takes, found[-1].largest)]
        found = [found[0], *(from_disk if has_disk else [])]
    limit = _free(main, pipe) * 9 // 10 if budget == AUTO else parse_size(budget, "memory")
    choice = choose(
        found,
        limit,
        work=max((need.work for need in needs), default=0),
        asked=f"memory={budget!r} on {main}",
    )
    reason = choice.reason
    if not choice.fits and main == CPU and not has_disk:
        reason += "; with an offload_folder weights could rest on the disk"
    placements: dict[str, Any] = {
        "resident": lambda: Placement(main, reason=reason),
        "model offload": lambda: ModelOffload(main, reason=reason),
        "sequential offload": lambda: SequentialOffload(main, reason=reason),
        "from the disk": lambda: DeviceMap(
            dict.fromkeys(networks, DISK), main, offload_folder=offload_folder, reason=reason
        ),
    }
    pool.place(placements[choice.way.title]())
    _cut_decoding(pipe, choice.is_tight)
    pipe.enable_attention_slicing(None if choice.fits else "auto")
    if not choice.fits:
        _log.warning("memory=%r is too little: %s", budget, reason.rpartition("\n")[2])


def _main_device(device: Place | None) -> torch.device:
    kind = accelerator() if device is None else parse_device(device)
    return CPU if kind is None else numbered(kind)


def _free(device: torch.device, pipe: MemoryMixin) -> int:
    """What is free on `device` once the networks have left it."""
    own = [tensor for one in pipe._networks().values() for tensor in tensors_of(one)]
    return free_memory().get(device, 0) + sum(t.nbytes for t in own if t.device == device)


def _cut_decoding(pipe: MemoryMixin, cut: bool) -> None:
    """Let autoencoders work on one picture at a time and on large ones in tiles, or as a whole."""
    for network in pipe._networks().values():
        for what in ("slicing", "tiling"):
            switch: Any = getattr(network, f"{'enable' if cut else 'disable'}_{what}", None)
            if switch is not None:
                switch()
