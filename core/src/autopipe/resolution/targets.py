"""Targets: strings `"module:Attribute"` that are imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import AutopipeError, MissingPluginError, PluginError
from .guard import guarded
from .hints import owner_of_family, pip_line, reinstall_line

_FAMILY = "autopipe_"


def load_target(target: str) -> Any:
    """Import and return what `target` names.

    Raises:
        MissingPluginError: if it needs another family that is not installed.
        PluginError: if the module can't be imported or lacks the attribute.
    """
    module_name, _, attribute = target.partition(":")
    package = module_name.partition(".")[0]

    def failed(reason: str) -> AutopipeError:
        return PluginError(
            f"{target} can't be loaded ({reason}). Run: {reinstall_line(module_name, reason)}"
        )

    with guarded(failed):
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except ModuleNotFoundError as error:
            absent = (error.name or "").partition(".")[0]
            if absent == package or not absent.startswith(_FAMILY):
                raise
            dist = owner_of_family(absent.removeprefix(_FAMILY))
            raise MissingPluginError(
                f"{attribute} needs the package {dist}, which is not installed. "
                f"Run: {pip_line(dist)}"
            ) from error


def target_of(cls: type) -> str:
    """The target that names `cls`."""
    return f"{cls.__module__}:{cls.__qualname__}"
