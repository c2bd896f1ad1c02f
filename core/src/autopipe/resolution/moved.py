"""Documented names that another distribution defines now; importing them from here still works."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ..errors import MissingPluginError
from .hints import owner_of_family, pip_line
from .targets import load_target


def forward(module: str, home: str, *names: str) -> Callable[[str], Any]:
    """The `__getattr__` of a `module` whose `names` are defined in the module `home` now.

    It raises `MissingPluginError` if the package that has `home` is not installed.
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
                f"{name} moved from {module} to {home}, and the package {dist}, which has it, "
                f"is not installed. Run: {pip_line(dist)}"
            ) from error
        return load_target(f"{home}:{name}")

    return load
