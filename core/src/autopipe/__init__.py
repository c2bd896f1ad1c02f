"""Load any diffusion checkpoint for a task, and move between tasks on the same weights.

    from autopipe import AutoPipelineForText2Image

    pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    image = pipe("a red circle on a white background").images[0]

Every public name is imported on first use: those of the core, and those of every installed
family (`from autopipe import UNet2DConditionModel`). `autopipe.registry` tells what is there.
"""

from __future__ import annotations

import importlib
from typing import Any

from .resolution.public import PUBLIC as _CORE
from .resolution.version import __version__ as __version__

_SUBMODULES = ("errors", "registry", "utils")


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
    from .errors import nearest
    from .registry import default_registry
    from .resolution.hints import published_names

    registry = default_registry()
    if registry.is_unheard_of(name):
        known = {*_CORE, *registry.names(), *published_names()}
        raise AttributeError(f"autopipe has no {name!r}.{nearest(name, known)}")
    return registry.load(name)


def __dir__() -> list[str]:
    from .registry import default_registry

    return sorted({*_CORE, *_SUBMODULES, "__version__", *default_registry().names()})
