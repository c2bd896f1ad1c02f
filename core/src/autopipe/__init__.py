"""Load any diffusion checkpoint for a task, and move between tasks on the same weights.

    from autopipe import AutoPipelineForText2Image

    pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    image = pipe("a red circle on a white background").images[0]

Every public name is imported on first use: those of the core, and those of every installed
family (`from autopipe import UNet2DConditionModel`). `autopipe.registry` tells what is there.
"""

from __future__ import annotations

import importlib
import sys
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
    else:
        value = _from_a_plugin(name)
    globals()[name] = value
    return value


def _from_a_plugin(name: str) -> Any:
    from .registry import default_registry
    from .resolution.reference import missing_attribute

    registry = default_registry()
    if registry.is_unheard_of(name):
        text = f"autopipe has no {name!r}.{_nearest(name)}"
        raise missing_attribute("autopipe", name, "names", text)
    return registry.load(name)


def _nearest(name: str) -> str:
    """The question whether another name was meant; empty where none is near."""
    from .errors import nearest
    from .registry import default_registry
    from .resolution.hints import published_names

    return nearest(name, {*_CORE, *_SUBMODULES, *default_registry().names(), *published_names()})


class _NotHereYet:
    """The last of Python's finders, which says what a missing part of this package is.

    `from autopipe import X` looks for a module X where there is no such name, and only an error
    from there reaches the reader: Python replaces those of a module's `__getattr__`.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Find nothing, or raise what says that diffusers has it, or which name is near."""
        if name.startswith("autopipe.") and name.count(".") == 1:
            from .resolution.reference import check_import

            asked = name.partition(".")[2]
            check_import(asked)
            if not asked.startswith("_") and (meant := _nearest(asked)):
                raise ImportError(f"autopipe has no {asked!r}.{meant}", name=name)


if not any(type(one).__name__ == "_NotHereYet" for one in sys.meta_path):
    sys.meta_path.append(_NotHereYet())


def __dir__() -> list[str]:
    from .registry import default_registry

    return sorted({*_CORE, *_SUBMODULES, "__version__", *default_registry().names()})
