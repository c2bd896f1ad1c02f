"""Device maps: each network on a device, in main memory, or on disk."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module
from accelerate.utils import send_to_device
from torch import nn

from ..errors import ArgumentError, ArgumentTypeError, PlacementError, check_names
from ..sizes import size_text
from ..wording import shown
from .base import Placement, Role
from .devices import CPU, DeviceLike, key_of, main_device, memory_limits, numbered, parse_device
from .offload import Offload, offload_to_disk

DISK: Literal["disk"] = "disk"
STRATEGIES = ("auto", "balanced")

Place: TypeAlias = torch.device | Literal["disk"]
"""The place of a network. The CPU means main memory."""

DeviceMapping: TypeAlias = DeviceLike | Mapping[str, DeviceLike]
"""A device, a strategy, or a mapping from component names to devices or `"disk"`."""


class DeviceMap(Offload):
    """Each network has its own place, and outputs are moved to the main device.

    A network on an accelerator computes there. The layers of a network in main memory or on disk
    are moved one by one to the main device. If that is the CPU, networks in main memory compute
    there.
    """

    title = "device map"

    def __init__(
        self,
        places: Mapping[str, Place],
        device: torch.device,
        *,
        offload_folder: str | Path | None = None,
        reason: str = "",
    ) -> None:
        keys = {n: p if isinstance(p, str) else key_of(p) for n, p in places.items()}
        super().__init__(device, device_map=keys, reason=reason)
        self.places = dict(places)
        self.folder = _made(offload_folder) if DISK in self.places.values() else None
        self._folders = weakref.WeakKeyDictionary[nn.Module, Callable[[], Any]]()

    @property
    def devices(self) -> set[torch.device]:
        return {self.device, *(p for p in self.places.values() if isinstance(p, torch.device))}

    def _lends(self, place: Place) -> bool:
        return place == DISK or (place == CPU and self.device != CPU)

    def _place(self, role: Role) -> Place:
        return self.places.get(role.name, self.device)

    def install(self, network: nn.Module, role: Role) -> None:
        self._put(network, self._place(role), lambda: self._folder_for(network, role))

    def _put(self, module: nn.Module, place: Place, folder: Callable[[], Path]) -> None:
        """Place a network, or a part of one.

        Args:
            folder: creates the folder for weights on disk.
        """
        if isinstance(place, torch.device) and not self._lends(place):
            module.to(place)
            add_hook_to_module(module, _Visit(place, self.device))
        elif place == CPU:
            cpu_offload(module.to(CPU), self.device)
        else:
            offload_to_disk(module.to(CPU), folder(), self.device)

    def _folder_for(self, network: nn.Module, role: Role) -> Path:
        """Create a folder, which is deleted with the network or with its placement."""
        assert self.folder is not None, "a map with the disk has a folder"
        folder = tempfile.mkdtemp(prefix=f"{role.name.replace(' ', '-')}-", dir=self.folder)
        self._folders[network] = weakref.finalize(
            network, shutil.rmtree, folder, ignore_errors=True
        )
        return Path(folder)

    def remove(self, network: nn.Module, role: Role) -> None:
        super().remove(network, role)
        self._folders.pop(network, lambda: None)()

    def check_move(self, device: torch.device) -> None:
        raise PlacementError(
            f"the pipeline can't be moved to {device}, because its device map places each network; "
            f"call reset_device_map() first, or don't move it"
        )

    def where(self, network: nn.Module, role: Role) -> str:
        place = self._place(role)
        return f"{place}; on {self.device} by layers" if self._lends(place) else str(place)


def _made(folder: str | Path | None) -> Path | None:
    """Return the folder for weights on disk, created if necessary.

    Raises:
        ArgumentTypeError: if `folder` is not a path.
        PlacementError: if it can't be created or written to.
    """
    if folder is None:
        return None
    if not isinstance(folder, (str, os.PathLike)):
        raise ArgumentTypeError(f"offload_folder={shown(folder)} is not the path of a folder")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise PlacementError(
            f"offload_folder={shown(folder)} can't be created: {error.args[-1]}"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PlacementError(f"offload_folder={shown(folder)} can't be written to")
    return Path(folder)


class _Visit(ModelHook):  # type: ignore[misc]  # It has no types.
    """Moves the inputs of a network to its device, and its outputs to the main device."""

    def __init__(self, device: torch.device, main: torch.device) -> None:
        self.device, self.main = device, main

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        return send_to_device(args, self.device), send_to_device(kwargs, self.device)

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        return send_to_device(output, self.main)


def plan(
    device_map: DeviceMapping,
    sizes: Mapping[str, int],
    *,
    max_memory: Mapping[DeviceLike, int | str] | None = None,
    offload_folder: str | Path | None = None,
) -> Placement:
    """Return the placement for `device_map`.

    Args:
        device_map: see `DeviceMapping`. `"balanced"` distributes the networks evenly over the
            accelerators, `"auto"` fills one after another; the rest goes to main memory and, with
            `"auto"`, to disk. A dict names all networks, or has the key `""` for the others.
        sizes: the bytes of each network.
        max_memory: bytes, or text such as `"10GiB"`, by device; by default nine tenths of the free
            memory.
        offload_folder: the folder for networks on disk.

    Raises:
        ArgumentError: if `device_map` is not valid, or doesn't fit these networks.
        PlacementError: if the networks don't fit into `max_memory`.
    """
    if isinstance(device_map, Mapping):
        places = _places_of(device_map, sizes)
    elif isinstance(device_map, str) and device_map in STRATEGIES:
        places = _spread_all(
            sizes,
            memory_limits(max_memory),
            evenly=device_map == "balanced",
            disk=device_map == "auto" and offload_folder is not None,
        )
    else:
        found = parse_device(device_map, "device_map", STRATEGIES)
        return Placement(
            numbered(found), device_map=str(device_map), reason=f"by device_map={str(device_map)!r}"
        )
    if DISK in places.values() and offload_folder is None:
        raise ArgumentError(
            "device_map places networks on disk; give their folder as offload_folder="
        )
    return DeviceMap(
        {name: places[name] for name in sizes},
        _computing(places, sizes),
        offload_folder=offload_folder,
        reason=f"by device_map={shown(device_map)}",
    )


def _places_of(device_map: Mapping[str, DeviceLike], sizes: Mapping[str, int]) -> dict[str, Place]:
    opening = "device_map maps network names to devices, and there is no network"
    check_names(device_map, ("", *sizes), opening)
    missing = [name for name in sizes if name not in device_map and "" not in device_map]
    if missing:
        raise ArgumentError(
            f"device_map has no device for {', '.join(missing)}; give one, or one for all others "
            f"under the key ''"
        )
    found: dict[str, Any] = {n: device_map.get(n, device_map.get("")) for n in sizes}
    return {name: _place_of(place) for name, place in found.items()}


def _place_of(place: Any) -> Place:
    on_disk = isinstance(place, str) and place == DISK
    return DISK if on_disk else parse_device(place, "device_map")


def _spread_all(
    sizes: Mapping[str, int], limits: Mapping[torch.device, int], *, evenly: bool, disk: bool
) -> dict[str, Place]:
    """As `spread`, with main memory after the accelerators and then, if `disk`, the disk."""
    room = {device: limit for device, limit in limits.items() if device != CPU}
    room[CPU] = limits.get(CPU, sys.maxsize)
    fitting = spread(sizes, room, evenly=evenly)
    for name, size in sizes.items():
        if name not in fitting and not disk:
            raise PlacementError(
                f"{name} has {size_text(size)} and doesn't fit into max_memory of any device "
                f"({size_text(room[CPU])} of main memory); allow more, or use device_map='auto' "
                f"with an offload_folder"
            )
    return {name: fitting.get(name, DISK) for name in sizes}


def spread(
    sizes: Mapping[str, int], room: Mapping[torch.device, int], *, evenly: bool = False
) -> dict[str, torch.device]:
    """Assign the largest first, each to the first device with room, or (`evenly`) the most room.

    Accelerators come before main memory. Networks that fit nowhere are left out.
    """
    left, places = dict(room), {}
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        fitting = [device for device in left if sizes[name] <= left[device]]
        if fitting:
            most = max(fitting, key=lambda device: (device != CPU, left[device]))
            places[name] = most if evenly else fitting[0]
            left[places[name]] -= sizes[name]
    return places


def _computing(places: Mapping[str, Place], sizes: Mapping[str, int]) -> torch.device:
    """Return the accelerator of the largest network that is on one, else the CPU."""
    for name in sorted(places, key=lambda name: -sizes[name]):
        place = places[name]
        if isinstance(place, torch.device) and place.type != "cpu":
            return place
    return main_device() if DISK in places.values() else CPU
