"""Documented names that another distribution defines now; importing them from here still works."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any

from ..errors import MissingPluginError
from .hints import owner_of_family, pip_line
from .targets import load_target


def load_moved(module: str, names: Collection[str], home: str, name: str) -> Any:
    """What `name` of `module` means, where `names` of it moved to the module `home`.

    Raises:
        AttributeError: `name` is none of them.
        MissingPluginError: the package that has `home` is not installed.
    """
    if name not in names:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    package = home.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        dist = owner_of_family(package.removeprefix("autopipe_"))
        raise MissingPluginError(
            f"{name} moved from {module} to {home}, and the package {dist}, which has it, "
            f"is not installed. Run: {pip_line(dist)}"
        ) from error
    return load_target(f"{home}:{name}")
