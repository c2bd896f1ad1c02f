"""Documented names that moved to another distribution; their old imports still work."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ..errors import MissingPluginError
from .hints import owner_of_family, pip_line
from .targets import load_target


def forward(module: str, home: str, *names: str) -> Callable[[str], Any]:
    """Return a module-level `__getattr__` for `module`, whose `names` moved to the module `home`.

    It raises `MissingPluginError` if the package of `home` is not installed.
    """

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        package = home.partition(".")[0]
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            dist = owner_of_family(package.removeprefix("autopipe_"))
            raise MissingPluginError(
                f"{name} moved from {module} to {home}, whose package {dist} is not installed. "
                f"Run: {pip_line(dist)}"
            ) from error
        return load_target(f"{home}:{name}")

    return load
