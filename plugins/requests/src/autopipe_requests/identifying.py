"""Pins the checkpoints of a request: repositories by commits, local files by fingerprints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autopipe.checkpoint.address import open_source
from autopipe.checkpoint.checkpoint import Checkpoint as Opened
from autopipe.checkpoint.options import split_keywords
from autopipe.checkpoint.plan import files_of
from autopipe.checkpoint.single_file import open_pipeline
from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.resolution.targets import load_target
from autopipe.wording import shown

from .hashes import fingerprint, fingerprint_of
from .request import Checkpoint, Stage

if TYPE_CHECKING:
    from .completing import Completion


def identified(
    named: Checkpoint, cls: Any, fields: Mapping[str, Any], completion: Completion
) -> dict[str, Any]:
    """Return the fields of a request that name checkpoints, each with its fingerprint or commit.

    Args:
        named: the checkpoint of the pipeline.
        cls: the pipeline class.
        fields: the fields of the request.

    Raises:
        ArgumentError: if the request has another fingerprint.
    """
    conditions = {n: one for n, one in fields["conditions"].items() if one is not False}
    stages = fields["stages"]
    return {
        "checkpoint": _pipeline(named, cls, conditions, stages, completion),
        "conditions": {n: _network(n, one, completion) for n, one in fields["conditions"].items()},
        "upscale": tuple(_stage(one, completion) for one in fields["upscale"]),
    }


def _pipeline(
    named: Checkpoint,
    cls: Any,
    conditions: Mapping[str, Any],
    stages: Mapping[str, str],
    completion: Completion,
) -> Checkpoint:
    if named.commit is not None:
        return named
    registry = completion.registry
    options = {"variant": named.variant, **stages, **completion.loading}
    options = {name: value for name, value in options.items() if value is not None}
    if named.config is None:
        opened = Opened.open(named.name, options, registry)
    else:
        opened = open_pipeline(named.name, {"config": named.config, **options}, registry)
    single = named.name if is_file(os.path.expanduser(named.name)) else None
    plan = opened.plan(_without(cls, conditions, opened, registry))
    return _same(named, fingerprint(plan, single), completion)


def _network(keyword: str, named: Checkpoint | bool, completion: Completion) -> Checkpoint | bool:
    """Return the model of a condition with its fingerprint or commit."""
    if isinstance(named, bool) or named.commit is not None:
        return named
    registry = completion.registry
    options, _ = split_keywords({"variant": named.variant, **completion.loading})
    source = open_source(named.name, options.hub, registry)
    if source.commit is not None:
        return named.model_copy(update={"commit": source.commit})
    path = os.path.expanduser(named.name)
    if is_file(path):
        return _same(named, fingerprint_of(source, (), path), completion)
    target: Any = load_target(registry.conditions[keyword].target or "")
    files = files_of(target, source, (), options).files
    return _same(named, fingerprint_of(source, [file.path for file in files]), completion)


def _stage(stage: Stage, completion: Completion) -> Stage:
    """Return a stage that enlarges, whose checkpoint has its fingerprint."""
    named = stage.checkpoint
    if named.commit is not None:
        return stage
    opened = Opened.open(named.name, completion.loading, completion.registry)
    cls = completion.registry.resolve(opened.index.class_name).load_class()
    found = _same(named, fingerprint(opened.plan(cls)), completion)
    return stage.model_copy(update={"checkpoint": found})


def _same(named: Checkpoint, found: str, completion: Completion) -> Checkpoint:
    """Return the checkpoint with its fingerprint, which must be that of the request."""
    if named.fingerprint not in (None, found):
        raise ArgumentError(
            f"the checkpoint {shown(named.name)} has changed: its fingerprint is {found}, and the "
            f"request has {shown(named.fingerprint)}; use the original, or "
            f"{completion.otherwise or 'leave out fingerprint'}"
        )
    return named.model_copy(update={"fingerprint": found})


def _without(cls: Any, conditions: Mapping[str, Any], opened: Opened, registry: Registry) -> Any:
    """Return the class that opens the checkpoint's own components."""
    if not conditions:
        return cls
    pipeline = registry.pipeline_of(cls)
    task = pipeline.task if pipeline else None
    plain = dict.fromkeys(conditions, False)
    return registry.resolve(opened.index.class_name, task, plain).load_class()
