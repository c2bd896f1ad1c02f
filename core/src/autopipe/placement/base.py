"""What places networks, and the record of what placed each.

A `Placement` is how networks that belong together are placed; this one, the base of the others,
leaves each where `to` put it. What is placed otherwise is known by network, so that one which two
pipelines have is never placed twice.
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
    """What a network is to the pipelines that share it.

    Attributes:
        name: of the component.
        in_turn: it is used before and after others and never in alternation with them, so it
            may leave the device when another comes.
        stays: offloading leaves it on the device.
    """

    name: str
    in_turn: bool = False
    stays: bool = False


DeviceMap: TypeAlias = dict[str, int | str] | str | None
"""The place of each network by name, or the one device."""


class Placement:
    """Networks are where `to` puts them, or all on `device`, and compute there.

    Attributes:
        title: what it is called.
        moves: whether networks rest elsewhere, by `install`. A call then needs them for itself.
        device: where calls compute; None says where the networks are.
        device_map: what `hf_device_map` shows.
        reason: why the networks are placed so, for `explain`.
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
        """The devices that must be there."""
        return set() if self.device is None else {self.device}

    def install(self, network: nn.Module, role: Role) -> None:
        """Place `network`, which nothing else places."""

    def remove(self, network: nn.Module, role: Role) -> None:
        """Undo `install`: the weights are in the network again, in main memory."""

    def after_call(self, networks: Iterable[nn.Module], failed: bool) -> None:
        """Bring everything back to where it rests; after an error perhaps from half-way."""

    def check_move(self, device: torch.device) -> None:
        """Refuse, or comment on, that the caller wants the networks on `device` by `to`.

        Raises:
            PlacementError: that contradicts the placement.
        """

    def where(self, network: nn.Module, role: Role) -> str:
        """Where `network` rests and where it computes, in a few words."""
        return ", ".join(sorted({str(tensor.device) for tensor in tensors_of(network)})) or "empty"


def networks_of(components: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The networks among `components`, each once."""
    found: dict[str, nn.Module] = {}
    for name, component in components.items():
        if isinstance(component, nn.Module) and all(component is not n for n in found.values()):
            found[name] = component
    return found


def tensors_of(module: nn.Module, recurse: bool = True) -> Iterator[torch.Tensor]:
    """The parameters and buffers of a network, or of one of its modules without those inside."""
    yield from module.parameters(recurse)
    yield from module.buffers(recurse)


def bytes_of(module: nn.Module, recurse: bool = True) -> int:
    """What the weights of a network take, or those of one of its modules alone."""
    return sum(tensor.nbytes for tensor in tensors_of(module, recurse))


def send(network: nn.Module, device: torch.device) -> None:
    """Bring `network` to a device, if it is elsewhere."""
    # The first tensor tells: moving starts with it, also where it fails later on.
    first = next(tensors_of(network), None)
    if first is not None and first.device != device:
        network.to(device)


_placed: weakref.WeakKeyDictionary[nn.Module, tuple[Placement, Role]] = weakref.WeakKeyDictionary()


def placed_by(network: nn.Module) -> tuple[Placement, Role] | None:
    """What places `network`, and in which role; None where it simply is where it is."""
    return _placed.get(network)


def put(network: nn.Module, placement: Placement, role: Role) -> None:
    """Place `network`, whatever placed it before.

    A network that its owner gave hooks of accelerate stays as it is.
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
    """Let nothing place `network` any more; if it was placed, it is in main memory then."""
    found = _placed.pop(network, None)
    if found is not None:
        found[0].remove(network, found[1])


@contextmanager
def at_rest(*networks: nn.Module) -> Iterator[None]:
    """Inside, the networks are without hooks and hold their weights, as if never placed."""
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
    """Inside there is a copy of `network` in float32, placed as the network itself is."""
    # What is placed is the network that a view is of, and so it is with copies of both.
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
        # Hooks refer to the network that refers to them: without them its memory is free at once.
        take(placed)
