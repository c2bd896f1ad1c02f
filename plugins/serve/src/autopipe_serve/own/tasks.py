"""`/tasks`: what this server can draw, and by which arguments."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter

from autopipe.errors import AutopipeError
from autopipe.registry import Registry
from autopipe.tasks import Input, Task
from autopipe.wording import logger, shown
from autopipe_requests.fields import schedulers_of
from autopipe_requests.inputs import key_of
from autopipe_requests.offered import schema_of

from ..errors import Refusal
from ..settings import Settings
from ..studio import Studio

_log = logger(__name__)


def router(studio: Studio, settings: Settings, registry: Registry) -> APIRouter:
    """Return the routes."""
    found = APIRouter(prefix="/tasks")

    @functools.lru_cache(maxsize=256)
    def schema(task: Task, class_name: str | None) -> dict[str, Any]:
        return schema_of(task, registry, class_name, flat=True, tell=_log.warning)

    @found.get("")
    def every() -> dict[str, Any]:
        """Return the tasks, each with the JSON schema of its requests, and what can be named."""
        return {
            "tasks": [{**_task(one), "schema": schema(one, None)} for one in _tasks(registry)],
            "models": [
                {"name": one.name, "tasks": [*map(str, one.tasks)], "loaded": one.loaded}
                for one in studio.models()
            ],
            "loras": [one.name for one in studio.loras()],
            "addons": [
                {"name": name, "key": one.option.replace("-", "_") or None, "help": one.help,
                 "inputs": _inputs(one.inputs)}
                for name, one in registry.of("addon").items()
            ],
            "conditions": [
                {"name": name, "flag": one.flag, "help": one.help, "inputs": _inputs(one.inputs)}
                for name, one in registry.conditions.items()
            ],
            "schedulers": [one.removesuffix("Scheduler") for one in schedulers_of(registry)],
            "limits": settings.limits.model_dump(),
        }  # fmt: skip

    @found.get("/{task}")
    def one(task: str, model: str | None = None) -> dict[str, Any]:
        """Return a task with the JSON schema of its requests, of all pipelines or of a model's.

        `size` has the width and height in pixels that the model draws by default, or is null.
        """
        wanted = next((one for one in _tasks(registry) if one == task), None)
        if wanted is None:
            raise Refusal(404, f"there is no task {shown(task)}; /tasks lists them", param="task")
        class_name = size = None
        if model is not None:
            classes = {one.name: one.class_name for one in studio.models()}
            class_name = classes.get(model)
            if class_name is None:
                raise Refusal(
                    404, f"there is no model {shown(model)}; /tasks lists them", param="model"
                )
            with suppress(AutopipeError):  # Drawing reports what is wrong with a checkpoint.
                size = studio.default_size(model, wanted)
        return {**_task(wanted), "schema": schema(wanted, class_name), "size": size}

    return found


def _tasks(registry: Registry) -> list[Task]:
    """Return the tasks that an installed pipeline serves."""
    return [task for task, pipelines in registry.tasks.items() if pipelines]


def _task(task: Task) -> dict[str, Any]:
    return {
        "name": str(task),
        "aliases": [*task.aliases],
        "output": task.output,
        "inputs": _inputs(task.inputs),
        "links": {"self": f"/tasks/{task}"},
    }


def _inputs(inputs: Iterable[Input]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "key": key_of(one), "kind": one.kind, "required": one.required,
         "help": one.help}
        for one in inputs
    ]  # fmt: skip
