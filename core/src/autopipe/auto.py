"""The Auto classes: a task and a checkpoint, or a task and a pipeline, give a pipeline.

They hold no knowledge of any family: the registry finds the class, and the class does the rest.
Each task has one, made of the task's record, also where a plugin declares it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .errors import AutoClassError
from .registry import Registry, default_registry
from .resolution.reference import Absent
from .tasks import Task

if TYPE_CHECKING:
    from .pipeline import tasks  # noqa: F401  # The texts in brackets name it.
    from .pipeline.base import DiffusionPipeline

_Pipeline = TypeVar("_Pipeline", bound="DiffusionPipeline")


class _AutoPipeline(Generic[_Pipeline]):
    """What the Auto classes share: everything but the task."""

    config_name: ClassVar[str] = "model_index.json"
    task: ClassVar[Task]
    from_single_file = Absent()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        raise AutoClassError(
            f"{name} can't be instantiated directly; call {name}.from_pretrained(checkpoint) or "
            f"{name}.from_pipe(pipeline)"
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> _Pipeline:
        """Load the pipeline that fulfils this task with the checkpoint.

        Args:
            pretrained_model_name_or_path: a local folder, a repository id of the Hub, or
                `"demo:<family>"` for the small checkpoint that an installed family ships.
            **kwargs: as for `DiffusionPipeline.from_pretrained`. The keyword of a condition
                (such as `controlnet`) selects the pipeline that takes it; None selects the one
                that doesn't, also where the checkpoint names one that does.

        Raises:
            UnsupportedCheckpointError: no installed family serves this checkpoint and task.
        """
        from .checkpoint.checkpoint import Checkpoint

        registry = default_registry()
        conditions, rest = _conditions(registry, kwargs)
        checkpoint = Checkpoint.open(pretrained_model_name_or_path, rest, registry)
        found = registry.resolve(checkpoint.index.class_name, cls.task, conditions)
        pipe: _Pipeline = checkpoint.load(checkpoint.plan(found.load_class()))
        return pipe

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> _Pipeline:
        """The pipeline that fulfils this task on the components of `pipeline`.

        Takes no memory: see `DiffusionPipeline.from_pipe`, which says what is shared and what
        `kwargs` may hold.

        Raises:
            ArgumentTypeError: `pipeline` is none.
            UnsupportedCheckpointError: no installed family links the pipeline to this task.
        """
        from .pipeline.base import check_is_pipeline

        check_is_pipeline(pipeline)
        registry = default_registry()
        known = registry.pipeline_of(type(pipeline))
        name = known.name if known else type(pipeline).__name__
        conditions, rest = _conditions(registry, kwargs)
        resolution = registry.resolve(name, cls.task, conditions)
        target: type[_Pipeline] = resolution.load_class()
        return target.from_pipe(pipeline, **rest)


def _conditions(
    registry: Registry, kwargs: Mapping[str, Any]
) -> tuple[dict[str, bool], dict[str, Any]]:
    """Which conditions the caller's keywords ask for, or ask to be without.

    And the keywords less the conditions that are None: the class selected has no such component.
    """
    conditions = {n: value is not None for n, value in kwargs.items() if registry.is_condition(n)}
    return conditions, {n: value for n, value in kwargs.items() if conditions.get(n, True)}


def auto_class(task: Task | str) -> type[_AutoPipeline[Any]]:
    """The Auto class of a task.

    Raises:
        ArgumentError: there is no such task.
    """
    found = Task.parse(task)
    return _CLASSES.get(found) or _class_of(str(found), found.auto_class)


@functools.cache
def _class_of(task: str, name: str) -> type[_AutoPipeline[Any]]:
    about = f"Opens any checkpoint, or switches any pipeline, to the task {task}."
    members = {"task": Task(task), "__doc__": about, "__module__": __name__}
    return type(name, (_AutoPipeline,), members)


class AutoPipelineForText2Image(_AutoPipeline["tasks.Text2ImagePipeline"]):
    """Opens any checkpoint, or switches any pipeline, to making images from text."""

    task = Task.TEXT2IMAGE


class AutoPipelineForImage2Image(_AutoPipeline["tasks.Image2ImagePipeline"]):
    """Opens any checkpoint, or switches any pipeline, to changing an image by text."""

    task = Task.IMAGE2IMAGE


class AutoPipelineForInpainting(_AutoPipeline["tasks.InpaintPipeline"]):
    """Opens any checkpoint, or switches any pipeline, to repainting a masked part."""

    task = Task.INPAINT


_CLASSES = {
    cls.task: cls
    for cls in (AutoPipelineForText2Image, AutoPipelineForImage2Image, AutoPipelineForInpainting)
}


def __getattr__(name: str) -> Any:
    tasks = [] if name.startswith("_") else [task for task in Task if task.auto_class == name]
    if len(tasks) != 1:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return auto_class(tasks[0])
