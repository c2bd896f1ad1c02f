"""The checks by name, by what they look at. The docstring of each says what it demands."""

from __future__ import annotations

from collections.abc import Callable

from autopipe.manifest import Family, Pipeline

from ..subject import Subject
from . import calls, checkpoints, manifest, outputs, placement, refusals, views

OF_A_FAMILY: dict[str, Callable[[Family], None]] = {
    "manifest": manifest.manifest,
    "light": manifest.light,
    "targets": manifest.targets,
}
"""Run once."""

OF_A_MEMBER: dict[str, Callable[[Subject], None]] = {
    "saves": checkpoints.saves,
    "optional": checkpoints.optional,
}
"""Run for every pipeline, also for one that fulfils no task by itself."""

OF_A_TASK: dict[str, Callable[[Subject], None]] = {
    **OF_A_MEMBER,
    "protocol": outputs.protocol,
    "outputs": outputs.outputs,
    "tensors": outputs.tensors,
    "seed": calls.seed,
    "batch": calls.batch,
    "repeats": calls.repeats,
    "threads": calls.threads,
    "callback": calls.callback,
    "cancel": calls.cancel,
    "progress": calls.progress,
    "refusals": refusals.refusals,
    "views": views.views,
    "tasks": views.tasks,
    "placement": placement.placement,
}
"""Run for every pipeline that fulfils a task."""


def checks_of(pipeline: Pipeline) -> dict[str, Callable[[Subject], None]]:
    """The checks that a manifest's `pipeline` implies.

    A stage of a chain (`opens_as`) needs what another stage makes, so it is not called.
    """
    by_itself = pipeline.task is not None and pipeline.opens_as is None
    return OF_A_TASK if by_itself else OF_A_MEMBER
