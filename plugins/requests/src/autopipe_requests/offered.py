"""The pipelines of a task that are installed, by which its JSON schema is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from autopipe.errors import AutopipeError, MissingPluginError
from autopipe.manifest import Pipeline
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target
from autopipe.tasks import Input, Task


def schema_of(
    task: Task | None,
    registry: Registry,
    class_name: str | None = None,
    addons: Sequence[str] = (),
    *,
    flat: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return the JSON schema of requests for a task, or for one pipeline.

    Args:
        task: the task; None, with `class_name`, for that of the pipeline.
        registry: the installed packages.
        class_name: the class that a checkpoint names; None for all installed pipelines of the task
            and all add-ons together.
        addons: with `class_name`, the add-ons whose inputs are arguments, too.
        flat: as for `request_schema`.
        tell: is told, in a sentence, about a pipeline that is left out because it is broken.

    Raises:
        MissingPluginError: if no installed pipeline, or add-on, is meant.
        PluginError: if the only pipeline is broken.
        UnsupportedCheckpointError: if no installed family supports the task for `class_name`.
    """
    if class_name is not None:
        found = registry.resolve(class_name, task).pipeline
        task = task or (None if found.task is None else registry.task(found.task))
        pipelines = [found]
        attached = [registry.entry("addon", name) for name in addons]
        inputs = [one for addon in attached for one in addon.inputs]
    else:
        # An Auto class never opens a stage of a chain alone.
        every = registry.tasks.items()
        pipelines = [one for each, of in every if each == task for one in of if not one.opens_as]
        inputs = _optional(registry)
    classes = [*_loaded(pipelines, tell)]
    if not classes:
        raise MissingPluginError(f"no installed plugin has a pipeline for the task {task}")
    from .schema import request_schema

    return request_schema(task, classes, inputs, flat=flat)


def _loaded(pipelines: Sequence[Pipeline], tell: Callable[[str], None]) -> Iterator[type]:
    """Yield the classes of pipelines; of several, one that can't be imported is only reported."""
    for one in pipelines:
        try:
            yield load_target(one.target)
        except AutopipeError as error:
            if len(pipelines) == 1:
                raise
            tell(f"left out {one.name}: {error}")


def _optional(registry: Registry) -> list[Input]:
    """Return the inputs of all add-ons, which calls take only if it is attached."""
    addons = registry.of("addon").values()
    return [replace(one, required=False) for addon in addons for one in addon.inputs]
