"""Load any diffusion checkpoint for a task, and move between tasks on the same weights.

    from autopipe import AutoPipelineForText2Image

    pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    image = pipe("a red circle on a white background").images[0]

Every public name of the core and of the installed families is imported on first use
(`from autopipe import UNet2DConditionModel`). `autopipe.registry` lists what is installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from .resolution.public import PUBLIC as _CORE
from .resolution.public import SUBMODULES as _SUBMODULES
from .resolution.version import __version__ as __version__


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _CORE:
        value = getattr(importlib.import_module(f".{_CORE[name]}", __name__), name)
    elif name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    elif name in _brought():
        return importlib.import_module(f".{name}", __name__)
    else:
        value = _from_a_plugin(name)
    globals()[name] = value
    return value


def _brought() -> Mapping[str, Any]:
    """Return the modules that the installed plugins bring, by name; none in a broken setup."""
    from .errors import PluginError
    from .registry import default_registry

    try:
        return default_registry().of("module")
    except PluginError:
        return {}


def _from_a_plugin(name: str) -> Any:
    from .registry import default_registry
    from .resolution.reference import missing_attribute

    registry = default_registry()
    if registry.is_unheard_of(name):
        text = f"autopipe has no {name!r}.{_nearest(name)}"
        raise missing_attribute("autopipe", name, "names", text)
    return registry.load(name)


def _nearest(name: str) -> str:
    """Return " Did you mean ...?" for the closest public name, or an empty string."""
    from .errors import nearest
    from .registry import default_registry
    from .resolution.hints import published_names

    return nearest(name, {*_CORE, *_SUBMODULES, *default_registry().names(), *published_names()})


class _NotHereYet:
    """The last import finder, which explains why a name or module of this package is missing.

    If `autopipe` has no name X, `from autopipe import X` looks for a module X. Only an error raised
    there reaches the user, because Python replaces errors of a module's `__getattr__`.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Raise an error that names an alternative or a similar name; otherwise return None."""
        if not name.startswith("autopipe."):
            return
        from .resolution.reference import check_import
        from .resolution.submodules import check_module

        missing = name.partition(".")[2]
        if missing.partition(".")[0] not in _brought():
            check_module(missing)
        if "." in missing:
            return
        check_import(missing)
        if not missing.startswith("_") and (hint := _nearest(missing)):
            raise ImportError(f"autopipe has no {missing!r}.{hint}", name=name)


if not any(type(one).__name__ == "_NotHereYet" for one in sys.meta_path):
    from .resolution.submodules import AliasFinder, SubmoduleFinder

    sys.meta_path.insert(0, AliasFinder())
    sys.meta_path += [SubmoduleFinder(_brought), _NotHereYet()]


def __dir__() -> list[str]:
    from .registry import default_registry

    names = (*default_registry().names(), *_brought())
    return sorted({*_CORE, *_SUBMODULES, "__version__", *names})
