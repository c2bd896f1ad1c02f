"""The models that clients may name, and what they serve."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from autopipe.cli.checkpoint import open_checkpoint, tasks_of
from autopipe.errors import AutopipeError
from autopipe.registry import Registry
from autopipe.tasks import Task
from autopipe_requests.fields import demo_of


@dataclass(frozen=True)
class Model:
    """A model that clients may name.

    Attributes:
        name: its name.
        checkpoint: the folder, file or repository.
        class_name: the class of its pipeline; None if it is not one, or can't be opened.
        tasks: the tasks that it serves.
        loaded: whether it is in memory.
    """

    name: str
    checkpoint: str
    class_name: str | None
    tasks: tuple[Task, ...]
    loaded: bool


class Catalogue:
    """The models of a server.

    Args:
        models: the checkpoints by name, the default first.
        registry: the installed packages.
    """

    def __init__(self, models: Mapping[str, str], registry: Registry) -> None:
        self._models, self._registry = models, registry
        self._known: dict[str, tuple[str | None, tuple[Task, ...]]] = {}

    def models(self, loaded: Collection[str]) -> tuple[Model, ...]:
        """Return the models, the default first.

        Args:
            loaded: the checkpoints that are in memory.
        """
        return tuple(
            Model(name, path, *self._served(path), loaded=path in loaded)
            for name, path in self._models.items()
        )

    def default(self, task: Any) -> str:
        """Return the name of the first model that serves a task, or else of the first one.

        Raises:
            MissingPluginError: if there is none, because no family with a demo is installed.
        """
        if not self._models:
            return demo_of(self._registry, None)
        names = (name for name, path in self._models.items() if task in self._served(path)[1])
        return next(names, next(iter(self._models)))

    def _served(self, path: str) -> tuple[str | None, tuple[Task, ...]]:
        """Return the class of the pipeline of a checkpoint, and the tasks that it serves."""
        if path not in self._known:
            try:
                opened = open_checkpoint(path, self._registry, local_only=True)
                name = opened.index.class_name
                self._known[path] = name, tuple(tasks_of(name, self._registry))
            except AutopipeError:
                self._known[path] = None, ()
        return self._known[path]
