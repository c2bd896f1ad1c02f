"""Targets: `"module:Attribute"` strings, imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import PluginError


def load_target(target: str) -> Any:
    """Import what `target` names.

    Raises:
        PluginError: the module can't be imported or has no such attribute.
    """
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
        return getattr(module, attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{target} can't be loaded ({type(error).__name__}: {error}); "
            f"reinstall the package {module_name.partition('.')[0]!r}"
        ) from error


def target_of(cls: type) -> str:
    """The target that names `cls`."""
    return f"{cls.__module__}:{cls.__qualname__}"
