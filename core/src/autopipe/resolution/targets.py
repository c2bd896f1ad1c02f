"""Targets: `"module:Attribute"` strings, imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import AutopipeError, MissingPluginError, PluginError
from .hints import owner_of_family, pip_line

_FAMILY = "autopipe_"


def load_target(target: str) -> Any:
    """Import what `target` names.

    Raises:
        MissingPluginError: it needs another family, which is not installed.
        PluginError: the module can't be imported or has no such attribute.
    """
    module_name, _, attribute = target.partition(":")
    package = module_name.partition(".")[0]
    try:
        module = importlib.import_module(module_name)
        return getattr(module, attribute)
    except AutopipeError:
        raise
    except (Exception, SystemExit) as error:
        absent = (getattr(error, "name", None) or "").partition(".")[0]
        is_absent = isinstance(error, ModuleNotFoundError) and absent != package
        if is_absent and absent.startswith(_FAMILY):
            dist = owner_of_family(absent.removeprefix(_FAMILY))
            raise MissingPluginError(
                f"{attribute} needs the package {dist}, which is not installed. "
                f"Run: {pip_line(dist)}"
            ) from error
        raise PluginError(
            f"{target} can't be loaded ({type(error).__name__}: {error}); "
            f"reinstall the package {package!r}"
        ) from error


def target_of(cls: type) -> str:
    """The target that names `cls`."""
    return f"{cls.__module__}:{cls.__qualname__}"
