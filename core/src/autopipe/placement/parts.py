"""Device maps for a single network: each part on a device, in main memory, or on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import infer_auto_device_map
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from accelerate.utils import get_balanced_memory, get_max_memory
from torch import nn

from ..errors import ArgumentError, PlacementError, check_names
from .base import Role, put, tensors_of
from .device_map import DISK, DeviceMap, Place
from .devices import CPU, DeviceLike, check_here, key_of, memory_limits, parse_device

STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")

_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)

PartMapping = DeviceLike | Mapping[str, DeviceLike]
"""A device, a strategy, or a mapping from part names to devices or `"disk"`; `""` is all."""


class PartMap(DeviceMap):
    """The parts of a network are on several devices, in main memory, or on disk.

    Layers in main memory or on disk are moved to the main device one by one. If that is the CPU,
    parts in main memory compute there.
    """

    title = "device map of its parts"

    def install(self, network: nn.Module, role: Role) -> None:
        """See `Placement`."""
        folder = self._folder_for(network, role) if DISK in self.places.values() else None
        for name, place in _apart(network, self.places).items():
            self._put(network.get_submodule(name), place, partial(_inside, folder, name))
        if not hasattr(network, "_hf_hook"):
            # Outputs are moved to the device of the inputs.
            add_hook_to_module(network, AlignDevicesHook(self.device, io_same_device=True))

    def check_move(self, device: torch.device) -> None:
        """See `Placement`."""
        raise PlacementError(
            f"the network can't be moved to {device}, because its device map places each of its "
            f"parts; load it without one"
        )

    def where(self, network: nn.Module, role: Role) -> str:
        """See `Placement`."""
        return "by parts, on " + ", ".join(sorted({str(one) for one in self.places.values()}))


def _inside(folder: Path | None, part: str) -> Path:
    """Create a folder for one part."""
    assert folder is not None, "a map with the disk has a folder"
    made = folder / (part or "whole")
    made.mkdir()
    return made


def parse_parts(device_map: PartMapping) -> dict[str, Place] | str:
    """Return the places of `device_map`, or the strategy that it names.

    Raises:
        ArgumentError: if `device_map` is not valid.
        PlacementError: if a device is not available.
    """
    if isinstance(device_map, str) and device_map in STRATEGIES:
        return device_map
    given = device_map if isinstance(device_map, Mapping) else {"": device_map}
    if not given:
        raise ArgumentError("device_map is empty; give a device for the whole network under ''")
    places: dict[str, Place] = {
        str(name): DISK if place == DISK else parse_device(place, "device_map", STRATEGIES)
        for name, place in given.items()
    }
    for device in {place for place in places.values() if isinstance(place, torch.device)}:
        check_here(device)
    return places


def place_parts(
    network: nn.Module,
    parsed: dict[str, Place] | str,
    *,
    max_memory: Mapping[DeviceLike, int | str] | None = None,
    offload_folder: str | Path | None = None,
) -> None:
    """Place the parts of `network`, and set its `hf_device_map`.

    Args:
        parsed: the result of `parse_parts`.
        max_memory: for a strategy, bytes or text such as `"10GiB"` by device; by default the free
            memory.
        offload_folder: the folder for weights on disk; by default a temporary folder.

    Raises:
        ArgumentError: if the map leaves out a part, or names an unknown one.
    """
    places = _spread(network, parsed, max_memory) if isinstance(parsed, str) else parsed
    _check_parts(network, places)
    network.hf_device_map = {  # type: ignore[assignment]
        name: place if isinstance(place, str) else key_of(place) for name, place in places.items()
    }
    if len({*places.values()}) == 1 and DISK not in places.values():
        network.to(next(iter(places.values())))
        return
    on = [place for place in places.values() if isinstance(place, torch.device) and place != CPU]
    device = on[0] if on else CPU
    folder = offload_folder or (tempfile.gettempdir() if DISK in places.values() else None)
    placement = PartMap(places, device, offload_folder=folder, reason="by device_map")
    put(network, placement, Role(type(network).__name__))


def _spread(
    network: nn.Module, strategy: str, max_memory: Mapping[DeviceLike, int | str] | None
) -> dict[str, Place]:
    limits: dict[Any, Any] | None = None
    if max_memory is not None:
        limits = {key_of(one): size for one, size in memory_limits(max_memory).items()}
    whole = {"no_split_module_classes": _blocks(network)}
    if strategy == "sequential":
        limits = get_max_memory(limits)
    else:
        low = strategy == "balanced_low_0"
        limits = get_balanced_memory(network, limits, low_zero=low, **whole)
    found = infer_auto_device_map(network, max_memory=limits, **whole)
    return {name: DISK if key == DISK else parse_device(key) for name, key in found.items()}


def _blocks(network: nn.Module) -> list[str]:
    """Return the classes of modules that must not be split: the blocks that the network calls.

    Inside a block there may be residual connections.
    """
    declared = getattr(network, "_no_split_modules", None)
    if declared:
        return list(declared)
    pending, found = list(network.children()), set()
    while pending:
        module = pending.pop()
        if isinstance(module, _CONTAINERS):
            pending += module.children()
        else:
            found.add(type(module).__name__)
    return sorted(found)


def _apart(network: nn.Module, places: Mapping[str, Place]) -> dict[str, Place]:
    """Return `places` with parts that contain others replaced by their submodules."""
    modules = dict(network.named_modules())
    # The place of a single tensor applies to its module.
    named = {n if n in modules else n.rpartition(".")[0]: p for n, p in places.items()}
    found: dict[str, Place] = {}

    def walk(name: str, module: nn.Module, place: Place | None) -> None:
        place = named.get(name, place)
        inner = f"{name}." if name else ""
        if any(one and one != name and one.startswith(inner) for one in named):
            for child, part in module.named_children():
                walk(inner + child, part, place)
        elif place is not None and any(True for _ in tensors_of(module)):
            # A part without weights computes where its inputs are, which may be whole networks.
            found[name] = place

    walk("", network, None)
    return found


def _check_parts(network: nn.Module, places: Mapping[str, Place]) -> None:
    weights = dict(network.state_dict(keep_vars=True))
    parts = ("", *(name for name, _ in network.named_modules() if name), *weights)
    opening = f"device_map maps parts to devices, and {type(network).__name__} has no part"
    check_names(places, parts, opening, listed=[name for name, _ in network.named_children()])
    left = [w for w in weights if not any(_is_in(w, name) for name in places)]
    if left:
        raise ArgumentError(
            f"device_map has no device for {left[0]} of {type(network).__name__}; give one, or one "
            f"for all others under the key ''"
        )


def _is_in(weight: str, part: str) -> bool:
    return not part or weight == part or weight.startswith(f"{part}.")
