"""The import finder that answers for `diffusers`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import autopipe
from autopipe.config import FORMAT_VERSION
from autopipe.errors import AutopipeError, NotHereYetError
from autopipe.resolution.submodules import same_spec

from .. import paths
from ..paths.table import is_path

NAME = "diffusers"
_BELOW = f"{NAME}."

_ONLY_ASK = ("compel",)
"""Libraries that import classes of pipelines to ask whether an object is one of them.

They get a class without instances for a pipeline that is not here, so that they can be imported.
"""


class AliasError(AutopipeError, ImportError):
    """`diffusers` can't mean autopipe, because the process has already imported diffusers."""


def enable() -> None:
    """Let `diffusers` and everything below it mean autopipe, in this process.

    Raises:
        AliasError: if diffusers itself is already imported. Nothing is changed.
    """
    if any(isinstance(one, _Finder) for one in sys.meta_path):
        return
    if NAME in sys.modules:
        raise AliasError(
            "diffusers is already imported in this process, so its name can't mean autopipe; "
            "import autopipe.as_diffusers before everything else"
        )
    sys.meta_path.insert(0, _Finder())
    # Processes that `multiprocessing` starts get this list of folders.
    sys.path.insert(0, folder())


def disable() -> None:
    """Undo `enable`. What the program has imported stays as it is."""
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, _Finder)]
    sys.path[:] = [one for one in sys.path if one != folder()]
    for name in [one for one in sys.modules if f"{one}.".startswith(_BELOW)]:
        del sys.modules[name]


def folder() -> str:
    """Return the folder that makes `diffusers` mean autopipe if `PYTHONPATH` begins with it."""
    return str(Path(__file__).with_name("path"))


class _Finder:
    """Finds `diffusers` and its modules before all other finders."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of autopipe under its name in diffusers.

        Raises:
            NotHereYetImportError: if diffusers has such a name, and autopipe doesn't.
        """
        if fullname == NAME:
            return ModuleSpec(NAME, self, is_package=True)  # type: ignore[arg-type]
        if not fullname.startswith(_BELOW):
            return None
        name = fullname.removeprefix(_BELOW)
        real = f"{paths.__name__}.{name}" if is_path(name) else f"autopipe.{name}"
        if importlib.util.find_spec(real) is None:
            return None
        return same_spec(fullname, real)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module `diffusers`."""
        return _Alias(spec.name, autopipe.__doc__)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module asks autopipe for its names."""

    def find_distributions(self, context: Any = None) -> Iterator[Distribution]:
        """Yield the distribution that `importlib.metadata.version("diffusers")` asks for."""
        if getattr(context, "name", None) == NAME:
            yield _Installed()


class _Alias(ModuleType):
    """The module `diffusers`: the names of autopipe, and the version whose names these are."""

    __version__ = FORMAT_VERSION
    __file__ = autopipe.__file__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")
        try:
            return getattr(autopipe, name)
        except NotHereYetError as error:
            if _importer() not in _ONLY_ASK:
                raise
            return _stand_in(name, str(error))

    def __dir__(self) -> list[str]:
        return dir(autopipe)


def _importer() -> str:
    """Return the top-level package of the code that imports a name of `diffusers` at this time."""
    frame = inspect.currentframe()
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in ("autopipe_compat", "importlib"):
            return package
        frame = frame.f_back
    return ""


def _stand_in(name: str, reason: str) -> type:
    """Return a class without instances, in place of one that is not here."""

    def refuse(self: object, *args: Any, **kwargs: Any) -> None:
        raise NotHereYetError(reason)

    return type(name, (), {"__init__": refuse, "__module__": NAME, "__doc__": reason})


class _Installed(Distribution):
    """The metadata of diffusers in the version whose names autopipe has."""

    def read_text(self, filename: str) -> str | None:
        """Return the content of its file METADATA; it has no others."""
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {FORMAT_VERSION}\n"

    def locate_file(self, path: Any) -> Any:
        """Return a path below the folder of autopipe."""
        return Path(str(autopipe.__file__)).parent / path
