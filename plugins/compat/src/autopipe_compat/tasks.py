"""The pipelines of a task by the names of diffusers' mappings."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from autopipe.registry import default_registry
from autopipe.tasks import Task

_TASKS = {
    "AUTO_TEXT2IMAGE_PIPELINES_MAPPING": Task.TEXT2IMAGE,
    "AUTO_IMAGE2IMAGE_PIPELINES_MAPPING": Task.IMAGE2IMAGE,
    "AUTO_INPAINT_PIPELINES_MAPPING": Task.INPAINT,
}


def __getattr__(name: str) -> Any:
    if name not in _TASKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    registry = default_registry()
    # The key is the line with its conditions, such as `stable_diffusion-controlnet`.
    return OrderedDict(
        ("-".join([str(one.line), *sorted(one.conditions)]), registry.load(one.name))
        for one in registry.tasks[_TASKS[name]]
    )
