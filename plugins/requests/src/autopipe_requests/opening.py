"""Opens the pipelines of requests and keeps them, so that equal weights are loaded once."""

from __future__ import annotations

import inspect
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from autopipe.auto import auto_class
from autopipe.checkpoint.address import DEMO
from autopipe.errors import ArgumentError, nearest
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry, default_registry
from autopipe.resolution.targets import load_target
from autopipe.wording import shown

from .placement import Placement
from .request import Addition, Checkpoint, Request, Scheduler, Stage

MOST_VIEWS = 32
"""The number of views of one checkpoint that are kept."""

MOST_ATTACHED = 32
"""The number of add-ons of one checkpoint that are kept attached without being used."""

_LOCAL = "local_files_only"

_Attached: TypeAlias = tuple[str, str | None, str | None, int]
"""An add-on, its source with its hash, and how often the same was attached before it."""


@dataclass
class _Opened:
    """A checkpoint, and the views of its pipeline; `pipe` is None until it is loaded."""

    pipe: Any = None
    scheduler: Any = None
    task: str | None = None
    stages: list[Any] = field(default_factory=list)
    labels: dict[_Attached, str] = field(default_factory=dict)
    views: OrderedDict[str, tuple[Any, dict[str, str]]] = field(default_factory=OrderedDict)
    lock: threading.RLock = field(default_factory=threading.RLock)


@dataclass(frozen=True)
class Ready:
    """A pipeline that is ready for the calls of a request.

    Attributes:
        pipe: the pipeline.
        stages: the pipelines that enlarge its results.
        labels: the names of its attachments, by the names that requests use for them.
    """

    pipe: Any
    stages: Sequence[Any] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Pipelines:
    """The pipelines of requests. Those that share a checkpoint share its weights.

    Threads may share it. A context manager, which closes everything that it opened.

    Args:
        placement: where they compute.
        registry: the installed packages.
        most: the number of checkpoints that are kept; the least recently used one leaves first.
        local_only: whether only what is on this machine is used.
    """

    def __init__(
        self,
        placement: Placement | None = None,
        registry: Registry | None = None,
        *,
        most: int = 2,
        local_only: bool = False,
    ) -> None:
        self.placement, self.registry = placement or Placement(), registry or default_registry()
        self.most, self.local_only = most, local_only
        self._opened: OrderedDict[str, _Opened] = OrderedDict()
        self._lock = threading.RLock()

    def __enter__(self) -> Pipelines:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the memory of all pipelines."""
        with self._lock:
            while self._opened:
                self._leave()

    def of(self, request: Request) -> Ready:
        """Return the pipeline of a request, loading its checkpoint if it isn't loaded yet.

        Raises:
            AutopipeError: as for `DiffusionPipeline.from_pretrained`, `attach` and placements.
        """
        key = weights_key(request)
        with self._lock:
            opened = self._opened.get(key)
            if opened is None:
                while len(self._opened) >= self.most:
                    self._leave()
                opened = self._opened[key] = _Opened()
            self._opened.move_to_end(key)
        # Meanwhile, other threads use and load other checkpoints.
        with opened.lock:
            if opened.pipe is None:
                self._open(request, opened)
            pipe, labels = self._view(request, opened)
            return Ready(pipe, tuple(opened.stages), labels)

    def is_loaded(self, request: Request) -> bool:
        """Whether the checkpoint of a request is loaded."""
        with self._lock:
            opened = self._opened.get(weights_key(request))
        return opened is not None and opened.pipe is not None

    def drop(self, key: str) -> None:
        """Give back the memory of a checkpoint, which no call uses.

        Args:
            key: the `weights_key` of its requests.
        """
        with self._lock:
            opened = self._opened.pop(key, None)
        if opened is not None:
            with opened.lock:
                for pipe in (opened.pipe, *opened.stages):
                    if pipe is not None:
                        pipe.close()

    def _loading(self, one: Addition) -> dict[str, Any]:
        """Return the options of attaching, which keep to this machine if only that is used.

        Raises:
            ArgumentError: if the add-on has no such option.
        """
        source = one.source
        if not self.local_only or source is None or source.startswith(DEMO):
            return {}
        if os.path.exists(os.path.expanduser(source)):
            return {}
        cls = load_target(self.registry.entry("addon", one.addon).target)
        takes = inspect.signature(cls).parameters.values()
        if not any(p.name == _LOCAL or p.kind is p.VAR_KEYWORD for p in takes):
            raise ArgumentError(
                f"{shown(source)}, which {one.addon} loads, is not on this machine; fetch it, and "
                f"give its path"
            )
        return {_LOCAL: True}

    def _leave(self) -> None:
        """Drop the least recently used checkpoint; calls in flight keep what they use."""
        self._opened.popitem(last=False)

    def _open(self, request: Request, opened: _Opened) -> None:
        self.placement.target()  # Report mistakes before reading weights.
        pipe = load(request, self.registry, local_only=self.local_only)
        self.placement.place(pipe)
        if request.engine is not None:
            pipe.use_engine(request.engine)
        stages: list[Any] = []
        for stage in request.upscale:
            stages.append(self._open_stage(stage, request, [pipe, *stages]))
        opened.stages, opened.scheduler = stages, getattr(pipe, "scheduler", None)
        opened.task = request.task
        opened.pipe = pipe

    def _open_stage(self, stage: Stage, request: Request, before: Sequence[Any]) -> Any:
        from autopipe.cascade import load_stage

        options = options_of(stage.checkpoint, request.checkpoint, self.local_only)
        if request.task is not None:
            options["task"] = request.task
        pipe = load_stage(stage.checkpoint.name, after=before[0], **options)
        set_scheduler(pipe, stage.scheduler, self.registry)
        self.placement.place(pipe, before)
        return pipe

    def _view(self, request: Request, opened: _Opened) -> tuple[Any, dict[str, str]]:
        """Return a pipeline on these weights, with the scheduler and add-ons of the request."""
        key = view_key(request)
        if key not in opened.views:
            # Without views, one for another task may have failed or been forgotten.
            is_first = not opened.views and request.task == opened.task
            pipe = opened.pipe if is_first else _switched(opened.pipe, request)
            if opened.scheduler is not None:
                pipe.scheduler = opened.scheduler
            set_scheduler(pipe, request.scheduler, self.registry)
            labels = _attach(pipe, request.addons, opened, self._loading)
            if len(opened.views) >= MOST_VIEWS:
                opened.views.popitem(last=False)
            opened.views[key] = pipe, labels
        opened.views.move_to_end(key)
        return opened.views[key]


def weights_key(request: Request) -> str:
    """Return the same text for requests whose pipelines share all weights."""
    kept = {"checkpoint", "conditions", "stages", "engine", "upscale"}
    of_calls = {"upscale": {"__all__": {"arguments"}}}
    return request.model_dump_json(include=kept, exclude=of_calls)


def view_key(request: Request) -> str:
    """Return the same text for requests that use the same pipeline on the same weights."""
    return request.model_dump_json(include={"task", "scheduler", "addons"})


def load(request: Request, registry: Registry, *, local_only: bool = False) -> Any:
    """Load the pipeline of a request, without what is attached and without placing it."""
    checkpoint = request.checkpoint
    opener: Any = DiffusionPipeline if request.task is None else auto_class(request.task)
    options = options_of(checkpoint, checkpoint, local_only)
    added: dict[str, Any] = {
        keyword: one
        if isinstance(one, bool)
        else load_target(registry.conditions[keyword].target or "").from_pretrained(
            one.name, **options_of(one, checkpoint, local_only)
        )
        for keyword, one in request.conditions.items()
    }
    if checkpoint.config is None:
        pipe: Any = opener.from_pretrained(checkpoint.name, **options, **request.stages, **added)
    else:
        pipe = opener.from_single_file(
            checkpoint.name, config=checkpoint.config, **options, **added
        )
    for model in added.values():
        if not isinstance(model, bool):
            # With "auto", its files may have another dtype than those of the checkpoint.
            model.to(pipe.dtype)
    return pipe


def options_of(one: Checkpoint, first: Checkpoint, local_only: bool = False) -> dict[str, Any]:
    """Return the options of loading a checkpoint; the dtype is that of the first."""
    wanted = {
        "torch_dtype": one.dtype or first.dtype,
        "variant": first.variant if one is first else one.variant,
        "revision": one.commit,
        _LOCAL: local_only or None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def set_scheduler(pipe: Any, scheduler: Scheduler | None, registry: Registry) -> None:
    """Set the requested scheduler of `pipe`, created from the config of its current one.

    Raises:
        ArgumentError: if the pipeline has no scheduler, or the requested one has no such setting.
        ConfigError: if it can't have such a value.
    """
    if scheduler is not None:
        if getattr(pipe, "scheduler", None) is None:
            raise ArgumentError(f"{type(pipe).__name__} has no scheduler; leave out scheduler")
        made = registry.load(scheduler.name)
        known = made.init_parameters()
        for name in scheduler.config:
            if name not in known:
                raise ArgumentError(
                    f"{scheduler.name} has no setting {shown(name)}.{nearest(name, known)}"
                )
        pipe.scheduler = made.from_config(pipe.scheduler.config, **scheduler.config)


def _switched(pipe: Any, request: Request) -> Any:
    """Return another pipeline on the weights of `pipe`, for the task of the request."""
    if request.task is None:
        return type(pipe).from_pipe(pipe)
    flags = {name: one for name, one in request.conditions.items() if isinstance(one, bool)}
    return auto_class(request.task).from_pipe(pipe, **flags)


def _attach(
    pipe: Any,
    addons: Sequence[Addition],
    opened: _Opened,
    loading: Callable[[Addition], Mapping[str, Any]],
) -> dict[str, str]:
    """Attach the add-ons to a pipeline, and return the names that they have there.

    Args:
        loading: returns the options of attaching.

    Raises:
        ArgumentError: if one doesn't fit the pipeline, or none of the optional ones does.
    """
    labels: dict[str, str] = {}
    strengths: dict[str, Any] = {}
    refusals = []
    for number, one in enumerate(addons):
        before = addons[:number]
        count = sum(other.addon == one.addon for other in before)
        same = sum(_source(other) == _source(one) for other in before)
        key = *_source(one), same
        if key in opened.labels:
            label = opened.labels.pop(key)
        else:
            label = _new_label(one.addon, pipe.attachments)
            try:
                options = loading(one)
                pipe.attach(one.addon, one.source, name=label, strength=one.strength, **options)
            except ArgumentError as error:
                if not one.optional:
                    raise
                refusals.append(str(error))
                continue
        opened.labels[key] = label  # The last is the most recently used.
        labels[f"{one.addon}_{count + 1}" if count else one.addon] = label
        strengths[label] = one.strength
    if refusals and len(refusals) == sum(one.optional for one in addons):
        raise ArgumentError(
            f"leave out fast, because none of its add-ons fits: {'; '.join(refusals)}"
        )
    if opened.labels:
        pipe.set_attachments(strengths)
    for key in [*opened.labels][: len(opened.labels) - MOST_ATTACHED]:
        if opened.labels[key] not in strengths:
            _forget(pipe, opened, opened.labels.pop(key))
    return labels


def _source(one: Addition) -> tuple[str, str | None, str | None]:
    return one.addon, one.source, one.sha256


def _new_label(addon: str, taken: Mapping[str, Any]) -> str:
    tries = (addon if i == 1 else f"{addon}_{i}" for i in itertools.count(1))
    return next(name for name in tries if name not in taken)


def _forget(pipe: Any, opened: _Opened, label: str) -> None:
    """Detach what has not been used for long, with the views that use it."""
    pipe.detach(label)
    used = [key for key, (_, labels) in opened.views.items() if label in labels.values()]
    for key in used:
        del opened.views[key]
