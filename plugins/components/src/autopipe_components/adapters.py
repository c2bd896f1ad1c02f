"""Adapters of the package peft in a network.

They change the network itself, and so every pipeline that shares it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from autopipe.attaching.network_view import origin_of
from autopipe.errors import ArgumentError, MissingPackageError
from autopipe.wording import listed, shown


def add_adapter(self: Any, adapter_config: Any, adapter_name: str = "default") -> None:
    """Add an adapter with initial values and switch it on.

    It changes the network itself, and so every pipeline that shares it.

    Args:
        adapter_config: a config of peft, such as `LoraConfig`.
        adapter_name: its name.

    Raises:
        ArgumentError: if there is an adapter of this name, or attachments change the network now.
        MissingPackageError: if peft is not installed.
    """
    check_addable(self, adapter_name)
    peft().inject_adapter_in_model(adapter_config, self, adapter_name)
    set_adapter(self, adapter_name)


def check_addable(network: nn.Module, name: str) -> None:
    """Raise `ArgumentError` if `network` can't get an adapter of this name."""
    if origin_of(network) is not network:
        raise ArgumentError(
            f"attachments change this {type(network).__name__} now, so it can't get an adapter of "
            f"peft; deactivate or detach them first"
        )
    if name in getattr(network, "peft_config", {}):
        raise ArgumentError(
            f"there is an adapter called {shown(name)} already; choose another name"
        )


def set_adapter(self: Any, adapter_name: str | Sequence[str]) -> None:
    """Use this adapter, or several, and no others.

    Raises:
        ArgumentError: if there is no adapter of this name.
    """
    check_adapters(self, [adapter_name] if isinstance(adapter_name, str) else adapter_name)
    for layer in adapted_layers(self):
        layer.enable_adapters(True)
        layer.set_adapter(adapter_name)


def check_adapters(network: nn.Module, names: Sequence[str]) -> None:
    """Raise `ArgumentError` if `network` doesn't have an adapter of each name."""
    known = getattr(network, "peft_config", {})
    if absent := [name for name in names if name not in known]:
        raise ArgumentError(
            f"there is no adapter called {shown(absent[0])}; call add_adapter first (there is "
            f"{listed(known) or 'none'})"
        )


def enable_adapters(self: Any) -> None:
    """Use the adapters again after `disable_adapters`."""
    for layer in adapted_layers(self):
        layer.enable_adapters(True)


def disable_adapters(self: Any) -> None:
    """Compute without adapters, and keep them."""
    for layer in adapted_layers(self):
        layer.enable_adapters(False)


def adapted_layers(network: nn.Module) -> Iterator[Any]:
    """Yield the layers of `network` that have adapters."""
    layer = peft().tuners.tuners_utils.BaseTunerLayer
    return (module for module in network.modules() if isinstance(module, layer))


def peft() -> Any:
    """Return the package peft.

    Raises:
        MissingPackageError: if it is not installed.
    """
    try:
        return importlib.import_module("peft")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "adapters need the package peft, which is not installed. Run: pip install peft"
        ) from error


class Adapters(nn.Module):
    """Gives encoders the methods for adapters that networks of transformers have."""

    add_adapter = add_adapter
    set_adapter = set_adapter
    enable_adapters = enable_adapters
    disable_adapters = disable_adapters
