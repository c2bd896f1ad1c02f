"""Adapters of the package peft in an encoder."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from autopipe.errors import ArgumentError, MissingPackageError
from autopipe.wording import shown


class Adapters(nn.Module):
    """Gives encoders the methods for adapters that networks of transformers have.

    They change the network itself, and so every pipeline that shares it.
    """

    def add_adapter(self, adapter_config: Any, adapter_name: str = "default") -> None:
        """Add an adapter with initial values and switch it on.

        Args:
            adapter_config: a config of peft, such as `LoraConfig`.
            adapter_name: its name.

        Raises:
            ArgumentError: if there is an adapter of this name.
            MissingPackageError: if peft is not installed.
        """
        if adapter_name in getattr(self, "peft_config", {}):
            raise ArgumentError(
                f"there is an adapter called {shown(adapter_name)} already; choose another name"
            )
        _peft().inject_adapter_in_model(adapter_config, self, adapter_name)
        self.set_adapter(adapter_name)

    def set_adapter(self, adapter_name: str | list[str]) -> None:
        """Use this adapter, or several, and no others.

        Raises:
            ArgumentError: if there is no adapter of this name.
        """
        names = [adapter_name] if isinstance(adapter_name, str) else adapter_name
        known = getattr(self, "peft_config", {})
        if absent := [name for name in names if name not in known]:
            raise ArgumentError(
                f"there is no adapter called {shown(absent[0])}; call add_adapter first"
            )
        for layer in self._adapted():
            layer.enable_adapters(True)
            layer.set_adapter(adapter_name)

    def enable_adapters(self) -> None:
        """Use the adapters again after `disable_adapters`."""
        for layer in self._adapted():
            layer.enable_adapters(True)

    def disable_adapters(self) -> None:
        """Compute without adapters, and keep them."""
        for layer in self._adapted():
            layer.enable_adapters(False)

    def _adapted(self) -> Iterator[Any]:
        layer = _peft().tuners.tuners_utils.BaseTunerLayer
        return (module for module in self.modules() if isinstance(module, layer))


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "adapters need the package peft, which is not installed. Run: pip install peft"
        ) from error
