"""Offloading: networks rest in main memory, and come to the device where they compute.

The hooks are those of accelerate. What it leaves to its caller happens here: that networks leave
the device again after a call, and after an error too.
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
from .base import Placement, Role, send
from .devices import CPU, empty_cache

_log = logger(__name__)


class Offload(Placement):
    """Networks rest elsewhere, and lend the weights of their layers to the device."""

    moves = True
    device: torch.device

    def remove(self, network: nn.Module, role: Role) -> None:
        unhook(network)

    def after_call(self, networks: Iterable[nn.Module], failed: bool) -> None:
        for network in networks if failed else ():
            recover(network)
        empty_cache(self.device)


class ModelOffload(Offload):
    """A network comes to the device whole when it is used, and the one before it leaves.

    Those that are used in alternation with others, such as a ControlNet, stay until the call ends.
    """

    title = "model offload"

    def __init__(self, device: torch.device, *, reason: str = "") -> None:
        super().__init__(device, reason=reason)
        self._in_turn: weakref.WeakSet[nn.Module] = weakref.WeakSet()

    def install(self, network: nn.Module, role: Role) -> None:
        network.to(self.device if role.stays else CPU)
        if not role.stays:
            add_hook_to_module(network, _Fetch(self))
        if role.in_turn and not role.stays:
            self._in_turn.add(network)

    def remove(self, network: nn.Module, role: Role) -> None:
        self._in_turn.discard(network)
        super().remove(network, role)

    def fetch(self, network: nn.Module) -> None:
        """Make room for `network`, and bring it."""
        if network in self._in_turn:
            for other in self._in_turn:
                if other is not network:
                    send(other, CPU)
        send(network, self.device)

    def after_call(self, networks: Iterable[nn.Module], failed: bool) -> None:
        hooked = [n for n in networks if isinstance(getattr(n, "_hf_hook", None), _Fetch)]
        # Copies that were made for the call are not components.
        for network in (*hooked, *self._in_turn):
            send(network, CPU)
        empty_cache(self.device)

    def check_move(self, device: torch.device) -> None:
        if device.type != "cpu":
            _log.warning(
                "the pipeline is not moved to %s: with model offload its networks come to %s when "
                "they are used; call remove_all_hooks() first to keep them there",
                device,
                self.device,
            )

    def where(self, network: nn.Module, role: Role) -> str:
        if role.stays:
            return f"{self.device}, stays"
        return f"cpu; on {self.device} " + ("in turn" if role.in_turn else "from its use on")


class _Fetch(ModelHook):  # type: ignore[misc]  # It has no types.
    """Brings a network to the device before it is used."""

    def __init__(self, offload: ModelOffload) -> None:
        self.offload = offload

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self.offload.fetch(module)
        device = self.offload.device
        return send_to_device(args, device), send_to_device(kwargs, device)


class SequentialOffload(Offload):
    """Each layer's weights come to the device for the time of its own computation."""

    title = "sequential offload"

    def install(self, network: nn.Module, role: Role) -> None:
        network.to(self.device if role.stays else CPU)
        if not role.stays:
            cpu_offload(network, self.device)

    def check_move(self, device: torch.device) -> None:
        if device.type != "cpu":
            raise PlacementError(
                f"the pipeline can't be moved to {device}: with sequential offload its layers come "
                f"to {self.device} one by one; call remove_all_hooks() first, or leave the move out"
            )

    def where(self, network: nn.Module, role: Role) -> str:
        return f"{self.device}, stays" if role.stays else f"cpu; on {self.device} by layers"


def offload_to_disk(network: nn.Module, folder: Path, device: torch.device) -> None:
    """Let the layers of `network` come from a file in `folder` to `device` when they compute.

    One file for all, which is mapped: accelerate's own file for each tensor takes many times as
    long to write. Torch's format, since there each tensor begins where kernels like it to.
    """
    file = folder / "weights.pt"
    torch.save(network.state_dict(), file)
    weights = torch.load(file, map_location=CPU, mmap=True, weights_only=True)
    add_hook_to_module(network, AlignDevicesHook(io_same_device=True))
    attach_align_device_hook(network, execution_device=device, offload=True, weights_map=weights)


def unhook(network: nn.Module) -> None:
    """Take all hooks off `network`, its weights being in main memory then."""
    remove_hook_from_module(network, recurse=True)
    for module in network.modules():
        # What accelerate leaves is the method of the class, bound: a module that refers to itself,
        # and so outlives its last user.
        own = getattr(module.__dict__.get("forward"), "__func__", None)
        if own is not None and own is type(module).forward:
            del module.__dict__["forward"]
    network.to(CPU)
    # With layers of its own for each, what was one parameter under two names is two by now.
    tie_weights = getattr(network, "tie_weights", None)
    if tie_weights is not None:
        tie_weights()


def recover(network: nn.Module) -> None:
    """Send the weights that an error has left on the device back to where they rest."""
    for module in network.modules():
        hook = getattr(module, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            visited = hasattr(one, "tied_pointers_to_remove")
            if isinstance(one, AlignDevicesHook) and one.offload and visited:
                one.post_forward(module, None)
