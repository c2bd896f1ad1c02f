"""The Auto classes, which open a checkpoint or a pipeline for a task.

They know no family: the registry finds the pipeline class, which does the rest. Every task has an
Auto class, including the tasks that plugins declare.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .errors import ArgumentTypeError, AutoClassError
from .registry import Registry, default_registry
from .tasks import Task
from .wording import shown

if TYPE_CHECKING:
    from .pipeline import tasks  # noqa: F401  # Named by strings in brackets.
    from .pipeline.base import DiffusionPipeline

_Pipeline = TypeVar("_Pipeline", bound="DiffusionPipeline")


class AutoPipeline(Generic[_Pipeline]):
    """Base of the Auto classes: everything except the task."""

    config_name: ClassVar[str] = "model_index.json"
    task: ClassVar[Task]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        raise AutoClassError(
            f"{name} can't be instantiated directly; call {name}.from_pretrained(checkpoint) or "
            f"{name}.from_pipe(pipeline)"
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> _Pipeline:
        """Load the pipeline that performs this task with the checkpoint.

        Args:
            pretrained_model_name_or_path: a local folder, a repository id of the Hub, or
                `"demo:<family>"` for the small checkpoint that an installed family ships.
            **kwargs: as for `DiffusionPipeline.from_pretrained`. The keyword of a condition
                (such as `controlnet`) selects the pipeline that takes it; None selects the one
                without it, even if the checkpoint names the other.

        Raises:
            UnsupportedCheckpointError: if no installed family supports this checkpoint and task.
        """
        from .checkpoint.checkpoint import Checkpoint

        registry = default_registry()
        conditions, rest = _conditions(registry, kwargs)
        checkpoint = Checkpoint.open(pretrained_model_name_or_path, rest, registry)
        found = registry.resolve(checkpoint.index.class_name, cls.task, conditions)
        pipe: _Pipeline = checkpoint.load(checkpoint.plan(found.load_class()))
        return pipe

    @classmethod
    def from_single_file(
        cls, pretrained_model_link_or_path: str | Path, **kwargs: Any
    ) -> _Pipeline:
        """Load the pipeline that performs this task with a single file.

        Args:
            pretrained_model_link_or_path: as for `DiffusionPipeline.from_single_file`.
            **kwargs: as for that, and the keywords of conditions as for `from_pretrained`.

        Raises:
            UnsupportedCheckpointError: if no installed family reads the file, or supports the task
                with it.
        """
        from .checkpoint.single_file import open_pipeline

        registry = default_registry()
        conditions, rest = _conditions(registry, kwargs)
        checkpoint = open_pipeline(pretrained_model_link_or_path, rest, registry)
        found = registry.resolve(checkpoint.index.class_name, cls.task, conditions)
        pipe: _Pipeline = checkpoint.load(checkpoint.plan(found.load_class()))
        return pipe

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> _Pipeline:
        """Return the pipeline that performs this task with the components of `pipeline`.

        The weights are shared, so it takes no additional memory. `DiffusionPipeline.from_pipe`
        documents what is shared and which `kwargs` are accepted.

        Raises:
            ArgumentTypeError: if `pipeline` is not a pipeline.
            UnsupportedCheckpointError: if no installed family links the pipeline to this task.
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
    """Return the conditions that the keywords select or deselect, and the keywords to pass on.

    Conditions that are None are not passed on: the selected class has no such component. Flags
    never are.
    """
    asked = {n: value for n, value in kwargs.items() if registry.is_condition(n)}
    conditions = {n: value is not None and value is not False for n, value in asked.items()}
    flags = {n for n, one in registry.conditions.items() if one.flag}
    for name in flags & asked.keys():
        if asked[name] not in (True, False, None):
            raise ArgumentTypeError(f"{name}={shown(asked[name])} is not True or False")
    passed = {n: value for n, value in kwargs.items() if conditions.get(n, True)}
    return conditions, {n: value for n, value in passed.items() if n not in flags}


def auto_class(task: Task | str) -> type[AutoPipeline[Any]]:
    """Return the Auto class of a task.

    Raises:
        ArgumentError: if there is no such task.
    """
    found = Task.parse(task)
    return _CLASSES.get(found) or _class_of(str(found), found.auto_class)


@functools.cache
def _class_of(task: str, name: str) -> type[AutoPipeline[Any]]:
    about = f"Opens a checkpoint, or switches a pipeline, for the task {task}."
    members = {"task": Task(task), "__doc__": about, "__module__": __name__}
    return type(name, (AutoPipeline,), members)


class AutoPipelineForText2Image(AutoPipeline["tasks.Text2ImagePipeline"]):
    """Opens a checkpoint, or switches a pipeline, for generating images from text."""

    task = Task.TEXT2IMAGE


class AutoPipelineForImage2Image(AutoPipeline["tasks.Image2ImagePipeline"]):
    """Opens a checkpoint, or switches a pipeline, for changing an image by text."""

    task = Task.IMAGE2IMAGE


class AutoPipelineForInpainting(AutoPipeline["tasks.InpaintPipeline"]):
    """Opens a checkpoint, or switches a pipeline, for repainting the masked part of an image."""

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
