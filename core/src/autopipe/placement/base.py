"""The base class of placements, and the record of the placement of each network.

A `Placement` says how the networks of a pool are placed. The base class leaves each network where
`to` put it. Other placements are recorded by network, so that a network that two pipelines share is
never placed twice.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import nn

from ..attaching.network_view import origin_of


@dataclass(frozen=True)
class Role:
    """How the pipelines that share a network use it.

    Attributes:
        name: the name of the component.
        in_turn: whether it is used in sequence with others, never alternately, so that it can
            leave the device when the next one is used.
        stays: whether offloading keeps it on the device.
    """

    name: str
    in_turn: bool = False
    stays: bool = False


DeviceMap: TypeAlias = dict[str, int | str] | str | None
"""The place of each network by name, or the one device."""


class Placement:
    """The default placement: networks are where `to` puts them, or all on `device`.

    Attributes:
        title: the name of the placement.
        moves: whether networks are moved during a call, which then needs exclusive use of them.
        device: the device of calls; None means that of the networks.
        device_map: the value of `hf_device_map`.
        reason: the reason of this placement, for `explain`.
    """

    title: str = "resident"
    moves: bool = False

    def __init__(
        self, device: torch.device | None = None, *, device_map: DeviceMap = None, reason: str = ""
    ) -> None:
        self.device = device
        self.device_map = device_map
        self.reason = reason

    @property
    def devices(self) -> set[torch.device]:
        """The devices that must be available."""
        return set() if self.device is None else {self.device}

    def install(self, network: nn.Module, role: Role) -> None:
        """Place `network`, which no other placement places."""

    def remove(self, network: nn.Module, role: Role) -> None:
        """Undo `install`: the network has its weights again, in main memory."""

    def after_call(self, networks: Iterable[nn.Module], failed: bool) -> None:
        """Offload networks after a call, also if it `failed` at any point."""

    def check_move(self, device: torch.device) -> None:
        """Check a move of the networks to `device` by `to`; may also log a warning.

        Raises:
            PlacementError: if the move contradicts the placement.
        """

    def where(self, network: nn.Module, role: Role) -> str:
        """Describe where `network` is and where it computes, in a few words."""
        return ", ".join(sorted({str(tensor.device) for tensor in tensors_of(network)})) or "empty"


def networks_of(components: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Return the networks among `components`, each once."""
    found: dict[str, nn.Module] = {}
    for name, component in components.items():
        if isinstance(component, nn.Module) and all(component is not n for n in found.values()):
            found[name] = component
    return found


def tensors_of(module: nn.Module, recurse: bool = True) -> Iterator[torch.Tensor]:
    """Yield the parameters and buffers of a module; without its children if not `recurse`."""
    yield from module.parameters(recurse)
    yield from module.buffers(recurse)


def bytes_of(module: nn.Module, recurse: bool = True) -> int:
    """Return the bytes of the weights of a module; without its children if not `recurse`."""
    return sum(tensor.nbytes for tensor in tensors_of(module, recurse))


def send(network: nn.Module, device: torch.device) -> None:
    """Move `network` to a device, if it is elsewhere."""
    # The first tensor is enough: a move starts with it, even if it fails later.
    first = next(tensors_of(network), None)
    if first is not None and first.device != device:
        network.to(device)


_placed: weakref.WeakKeyDictionary[nn.Module, tuple[Placement, Role]] = weakref.WeakKeyDictionary()


def placed_by(network: nn.Module) -> tuple[Placement, Role] | None:
    """Return the placement and role of `network`; None if it is not placed."""
    return _placed.get(network)


def put(network: nn.Module, placement: Placement, role: Role) -> None:
    """Place `network`, replacing its previous placement.

    A network with hooks of accelerate that its owner added stays as it is.
    """
    take(network)
    if hasattr(network, "_hf_hook"):
        return
    try:
        placement.install(network, role)
    except BaseException:
        placement.remove(network, role)
        raise
    _placed[network] = placement, role


def take(network: nn.Module) -> None:
    """Remove the placement of `network`, which is then in main memory."""
    found = _placed.pop(network, None)
    if found is not None:
        found[0].remove(network, found[1])


@contextmanager
def at_rest(*networks: nn.Module) -> Iterator[None]:
    """Context manager in which the networks have their weights and no hooks."""
    found = {network: _placed[network] for network in networks if network in _placed}
    for network in found:
        take(network)
    try:
        yield
    finally:
        for network, (placement, role) in found.items():
            put(network, placement, role)


@contextmanager
def float32_copy(network: nn.Module) -> Iterator[nn.Module]:
    """Context manager that yields a float32 copy of `network`, placed like the network itself."""
    # The placed network is the origin of a view; the same holds for copies.
    found = placed_by(origin_of(network))
    with at_rest(origin_of(network)):
        made = copy.deepcopy(network).float()
    if found is None:
        yield made
        return
    placement, role = found
    placed = origin_of(made)
    put(placed, placement, replace(role, name=f"{role.name} in float32"))
    try:
        yield made
    finally:
        # Hooks and network refer to each other; without hooks, the memory is released at once.
        take(placed)
