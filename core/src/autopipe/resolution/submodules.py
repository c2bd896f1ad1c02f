"""Modules below `autopipe` that packages bring, found by the import system.

A manifest's `Module("schedulers", "zoo.schedulers")` makes `autopipe.schedulers` the module
`zoo.schedulers`, and `autopipe.schedulers.ddim` the module `zoo.schedulers.ddim`: the same module
objects, imported at first use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

# Importing `autopipe` imports this module, so it imports the rest of the core at first use.

_ROOT = "autopipe."


class SubmoduleFinder:
    """The import finder for the modules that manifests name.

    Args:
        modules: returns the entries of manifests, by name.
    """

    def __init__(self, modules: Callable[[], Mapping[str, Any]]) -> None:
        self._entries = modules

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that a package brings, or None."""
        if not fullname.startswith(_ROOT):
            return None
        name, _, below = fullname.removeprefix(_ROOT).partition(".")
        entry = None if name.startswith("_") else self._entries().get(name)
        if entry is None:
            return None
        real = f"{entry.target}.{below}" if below else str(entry.target)
        if below:
            _load(real.rpartition(".")[0])
            if importlib.util.find_spec(real) is None:
                return None
        return same_spec(fullname, real)


class AliasFinder:
    """The import finder for modules below one that has a second name.

    It must come before the finder of files, which would import them a second time.
    """

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a module below one that a package brings, or None."""
        if not fullname.startswith(_ROOT):
            return None
        above, _, name = fullname.rpartition(".")
        parent = sys.modules.get(above)
        if parent is None or parent.__name__ == above:
            return None
        real = f"{parent.__name__}.{name}"
        found = importlib.util.find_spec(real)
        return found and same_spec(fullname, real)


def same_spec(fullname: str, real: str) -> ModuleSpec:
    """Return the spec that makes `fullname` a second name of the module `real`."""
    runs = fullname.endswith(".__main__")  # `python -m` takes no package there.
    return ModuleSpec(fullname, _Same(real), is_package=not runs)  # type: ignore[arg-type]


class _Same:
    """The loader of a module that is another one, `real`, under a second name."""

    def __init__(self, real: str) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module, with its own spec put aside."""
        module = _load(self._real)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back, because its code has already run."""
        module.__spec__ = self._spec

    def get_code(self, name: str) -> CodeType | None:
        """Return the code of the module, for `python -m`."""
        spec = importlib.util.find_spec(self._real)
        find: Any = getattr(spec and spec.loader, "get_code", None)
        code: CodeType | None = find and find(self._real)
        return code


def check_module(name: str) -> None:
    """Raise `ImportError` if a package that isn't installed brings, or may bring, `autopipe.NAME`.

    Args:
        name: the name below `autopipe`, such as `"schedulers"` or `"utils.logging"`.
    """
    from .hints import dist_of, pip_line

    dist = dist_of(name.partition(".")[0], "module")
    if dist is not None:
        where = "may be" if "." in name else "is"
        raise ImportError(
            f"autopipe.{name} {where} in the package {dist}. Run: {pip_line(dist)}",
            name=f"{_ROOT}{name}",
        )


def attribute_of(target: str, name: str) -> Any:
    """Return the attribute `name` of the module `target`, or its submodule of that name.

    Raises:
        AttributeError: if it has neither.
    """
    module = _load(target)
    try:
        return getattr(module, name)
    except AttributeError as missing:
        real = f"{target}.{name}"
        try:
            is_module = not name.startswith("_") and importlib.util.find_spec(real) is not None
        except ImportError:  # A finder says why it doesn't have this.
            is_module = False
        if not is_module:
            raise missing from None
    return importlib.import_module(real)


def _load(module: str) -> ModuleType:
    from .targets import load_module

    return load_module(module)
