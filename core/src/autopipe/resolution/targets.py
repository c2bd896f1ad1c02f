"""Targets: strings `"module:Attribute"` that are imported on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
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
    with guarded(_failed(target)):
        return getattr(_imported(module_name, attribute), attribute)


def load_module(name: str) -> ModuleType:
    """Import and return a module of a plugin.

    Raises:
        MissingPluginError, PluginError: as for `load_target`.
    """
    with guarded(_failed(name)):
        return _imported(name, name)


def _failed(target: str) -> Callable[[str], AutopipeError]:
    module = target.partition(":")[0]
    return lambda reason: PluginError(
        f"{target} can't be loaded ({reason}). Run: {reinstall_line(module, reason)}"
    )


def _imported(module: str, wanted: str) -> ModuleType:
    """Import `module`, or say which package it lacks; `wanted` is for the message."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = (error.name or "").partition(".")[0]
        if absent == module.partition(".")[0] or not absent.startswith(_FAMILY):
            raise
        dist = owner_of_family(absent.removeprefix(_FAMILY))
        raise MissingPluginError(
            f"{wanted} needs the package {dist}, which is not installed. Run: {pip_line(dist)}"
        ) from error


def target_of(cls: type) -> str:
    """The target that names `cls`."""
    return f"{cls.__module__}:{cls.__qualname__}"
