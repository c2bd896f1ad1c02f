"""Offloading: networks are kept in main memory and moved to the device when they compute.

The hooks are those of accelerate. This module adds what accelerate leaves to its caller: networks
leave the device after a call, also after an error.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import cpu_offload
from accelerate.hooks import (
    AlignDevicesHook,
    ModelHook,
    add_hook_to_module,
    attach_align_device_hook,
    remove_hook_from_module,
)
from accelerate.utils import send_to_device
from torch import nn

from ..errors import PlacementError
from ..wording import logger
from .base import Placement, Role, send, tensors_of
from .devices import CPU, empty_cache
from .home import Home, keeps

_log = logger(__name__)


class Offload(Placement):
    """Base of placements that keep networks elsewhere and move weights when they are used."""

    moves = True
    device: torch.device

    def remove(self, network: nn.Module, role: Role) -> None:
        unhook(network)

    def after_call(self, networks: Iterable[nn.Module], failed: bool) -> None:
        for network in networks if failed else ():
            recover(network)
        empty_cache(self.device)


class ModelOffload(Offload):
    """A network is moved to the device as a whole when it is used, and the previous one leaves.

    Networks that are used alternately with others, such as a ControlNet, stay until the call ends.
    """

    title = "model offload"

    def __init__(self, device: torch.device, *, reason: str = "") -> None:
        super().__init__(device, reason=reason)
        self._in_turn: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._homes: weakref.WeakKeyDictionary[nn.Module, Home] = weakref.WeakKeyDictionary()

    def install(self, network: nn.Module, role: Role) -> None:
        network.to(self.device if role.stays else CPU)
        if not role.stays:
            add_hook_to_module(network, _Fetch(self))
        if role.in_turn and not role.stays:
            self._in_turn.add(network)

    def remove(self, network: nn.Module, role: Role) -> None:
        self._in_turn.discard(network)
        self._leave(network)
        super().remove(network, role)

    def fetch(self, network: nn.Module) -> None:
        """Make room for `network`, and move it to the device."""
        if network in self._in_turn:
            for other in self._in_turn:
                if other is not network:
                    self._leave(other)
        first = next(tensors_of(network), None)
        if keeps(self.device) and first is not None and first.device == CPU:
            home = self._homes[network] = Home(network)
            try:
                network.to(self.device)
            finally:
                home.left()
        else:
            send(network, self.device)

    def _leave(self, network: nn.Module) -> None:
        """Move `network` back to main memory."""
        home = self._homes.pop(network, None)
        if home is None:
            send(network, CPU)
        else:
            home.restore()
            network.to(CPU)

    def after_call(self, networks: Iterable[nn.Module], failed: bool) -> None:
        hooked = [n for n in networks if isinstance(getattr(n, "_hf_hook", None), _Fetch)]
        # Copies that a call made are not components, but are also in `_in_turn`.
        for network in (*hooked, *self._in_turn):
            self._leave(network)
        empty_cache(self.device)

    def check_move(self, device: torch.device) -> None:
        if device.type != "cpu":
            _log.warning(
                "the pipeline is not moved to %s, because model offload moves its networks to %s "
                "when they are used; call remove_all_hooks() first to move it",
                device,
                self.device,
            )

    def where(self, network: nn.Module, role: Role) -> str:
        if role.stays:
            return f"{self.device}, stays"
        return f"cpu; on {self.device} " + ("while used" if role.in_turn else "from its first use")


class _Fetch(ModelHook):  # type: ignore[misc]  # It has no types.
    """Moves a network to the device before it is used."""

    def __init__(self, offload: ModelOffload) -> None:
        self.offload = offload

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self.offload.fetch(module)
        device = self.offload.device
        return send_to_device(args, device), send_to_device(kwargs, device)


class SequentialOffload(Offload):
    """The weights of each layer are moved to the device while it computes."""

    title = "sequential offload"

    def install(self, network: nn.Module, role: Role) -> None:
        network.to(self.device if role.stays else CPU)
        if not role.stays:
            cpu_offload(network, self.device)

    def check_move(self, device: torch.device) -> None:
        if device.type != "cpu":
            raise PlacementError(
                f"the pipeline can't be moved to {device}, because sequential offload moves its "
                f"layers to {self.device} one by one; call remove_all_hooks() first, or don't move "
                f"it"
            )

    def where(self, network: nn.Module, role: Role) -> str:
        return f"{self.device}, stays" if role.stays else f"cpu; on {self.device} by layers"


def offload_to_disk(network: nn.Module, folder: Path, device: torch.device) -> None:
    """Offload the weights of `network` to a file in `folder`; layers compute on `device`.

    A single file is mapped, because accelerate's file for each tensor takes many times as long to
    write. It has torch's format, in which tensors are aligned.
    """
    file = folder / "weights.pt"
    torch.save(network.state_dict(), file)
    weights = torch.load(file, map_location=CPU, mmap=True, weights_only=True)
    add_hook_to_module(network, AlignDevicesHook(io_same_device=True))
    attach_align_device_hook(network, execution_device=device, offload=True, weights_map=weights)


def unhook(network: nn.Module) -> None:
    """Remove all hooks from `network`; its weights are then in main memory."""
    remove_hook_from_module(network, recurse=True)
    for module in network.modules():
        # accelerate leaves a bound method, so the module refers to itself and outlives its last
        # user.
        own = getattr(module.__dict__.get("forward"), "__func__", None)
        if own is not None and own is type(module).forward:
            del module.__dict__["forward"]
    network.to(CPU)
    # Offloading by layers has separated tied parameters.
    tie_weights = getattr(network, "tie_weights", None)
    if tie_weights is not None:
        tie_weights()


def recover(network: nn.Module) -> None:
    """Offload the weights that an error has left on the device."""
    for module in network.modules():
        hook = getattr(module, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            visited = hasattr(one, "tied_pointers_to_remove")
            if isinstance(one, AlignDevicesHook) and one.offload and visited:
                one.post_forward(module, None)
