"""The import finder for modules without files."""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from autopipe.errors import NotHereYetError, NotHereYetImportError

from .table import has, instead_of, is_path, is_published, names_of, target_of


class PathFinder:
    """Finds the modules of the table below the package `root`."""

    def __init__(self, root: str) -> None:
        self._root = f"{root}."

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of diffusers; None for a name that diffusers doesn't have.

        Raises:
            NotHereYetImportError: if diffusers has a name or module that is not here.
        """
        if not fullname.startswith(self._root):
            return None
        name = fullname.removeprefix(self._root)
        if is_path(name):
            return ModuleSpec(fullname, Loader(name), is_package=True)  # type: ignore[arg-type]
        module, _, last = name.rpartition(".")
        instead = instead_of(module, last)
        if instead is not None:
            raise NotHereYetImportError(_text(module, last, instead), name=fullname)
        return None


class Loader:
    """Makes the module for a path of the table, such as `"models.unets"`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module that looks names up in the table."""
        return PathModule(spec.name, self._path)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: names are looked up when they are asked for."""


class PathModule(ModuleType):
    """A module of diffusers, whose names are looked up at their first use."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, f"Names of `diffusers.{path}` that are here.")
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":  # For `from ... import *`.
            return [one for one in names_of(self.__dict__["_path"]) if has(one)]
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        path = self.__dict__["_path"]
        if is_path(f"{path}.{name}"):
            value: Any = importlib.import_module(f"{self.__name__}.{name}")
        elif has(name) or is_published(name):
            value = target_of(path, name)
        else:
            instead = instead_of(path, name)
            if instead is not None:
                raise NotHereYetError(_text(path, name, instead))
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return names_of(self._path)


def _text(path: str, name: str, instead: str) -> str:
    return f"{path} has no {name} yet, which diffusers.{path} has; {instead}"
