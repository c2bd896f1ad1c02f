"""The checks by name, grouped by subject. The docstring of a check states what it demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autopipe.manifest import Manifest, Pipeline
from autopipe.tasks import Task

from ..samples import batched
from ..subject import Subject
from . import (
    abilities,
    attachments,
    callbacks,
    calls,
    checkpoints,
    directions,
    effects,
    extensions,
    manifest,
    outputs,
    placement,
    precision,
    refusals,
    regions,
    stages,
    threads,
    untouched,
    views,
)

OF_A_FAMILY: dict[str, Callable[[Manifest], None]] = {
    "manifest": manifest.manifest,
    "light": manifest.light,
    "targets": manifest.targets,
    "samples": extensions.samples,
    "conditions": extensions.conditions,
    "addons": extensions.addons,
    "engines": extensions.engines,
    "runners": extensions.runners,
    "commands": extensions.commands,
    "readers": extensions.readers,
}
"""Checks of the family, each run once."""

EXTENSIONS = {
    "samples": "tasks",
    "conditions": "conditions",
    "addons": "addons",
    "engines": "engines",
    "runners": "runners",
    "commands": "commands",
    "readers": "readers",
}
"""Checks that only run if a field of the manifest has entries, with the name of the field."""

OF_A_MEMBER: dict[str, Callable[[Subject], None]] = {
    "saves": checkpoints.saves,
    "keeps": checkpoints.keeps,
    "optional": checkpoints.optional,
}
"""Checks of every pipeline, including those that serve no task by themselves."""

OF_A_STAGE: dict[str, Callable[[Subject], None]] = {
    "call": stages.call,
    "effects": effects.effects,
}
"""Checks of every pipeline that serves no task by itself."""

OF_A_TASK: dict[str, Callable[[Subject], None]] = {
    "protocol": outputs.protocol,
    "outputs": outputs.outputs,
    "pictures": outputs.pictures,
    "tensors": outputs.tensors,
    "half": precision.half,
    "seed": calls.seed,
    "unseeded": untouched.unseeded,
    "untouched": untouched.untouched,
    "batch": calls.batch,
    "repeats": calls.repeats,
    "threads": threads.threads,
    "overlap": threads.overlap,
    "callback": callbacks.callback,
    "replacing": callbacks.replacing,
    "cancel": calls.cancel,
    "copies": calls.copies,
    "progress": calls.progress,
    "refusals": refusals.refusals,
    "views": views.views,
    "tasks": views.tasks,
    "placement": placement.placement,
    "attachments": attachments.attachments,
    "effects": effects.effects,
    "several": effects.several,
    "steps": directions.steps,
    "guidance": directions.guidance,
    "strength": directions.strength,
    "latents": directions.latents,
    "size": directions.size,
    "mask": regions.mask,
    "neighbours": regions.neighbours,
    "abilities": abilities.abilities,
}
"""Checks of every pipeline and task that it serves, unless `OCCASIONS` excludes the task."""


def _has(*names: str) -> Callable[[Task], bool]:
    return lambda task: set(names) <= set(task.parameters)


_sized = _has("height", "width")


def _draws(task: Task) -> bool:
    return task.output == "images" and "output_type" in task.parameters


OCCASIONS: dict[str, Callable[[Task], bool]] = {
    "pictures": _draws,
    "tensors": _draws,
    "seed": lambda task: "generator" in task.parameters,
    "unseeded": lambda task: "generator" in task.parameters,
    "batch": lambda task: "generator" in task.parameters and bool(batched(task)),
    "repeats": lambda task: "generator" in task.parameters and task.repeats is not None,
    "callback": lambda task: "callback_on_step_end" in task.parameters,
    "replacing": lambda task: "callback_on_step_end" in task.parameters,
    "several": lambda task: task.repeats is not None,
    "steps": _has("num_inference_steps"),
    "guidance": _has("guidance_scale", "num_inference_steps"),
    "strength": _has("strength", "num_inference_steps"),
    "latents": _has("latents", "num_inference_steps"),
    "size": lambda task: _draws(task) and (_sized(task) or _has("image")(task)),
    "mask": lambda task: any(one.kind == "mask" for one in task.inputs),
    "neighbours": lambda task: "generator" in task.parameters and bool(batched(task)),
}
"""Which tasks a check is run for; checks that are absent here are run for every task."""


def of_family(family: Manifest | None) -> Iterator[str]:
    """Yield the checks that a family's manifest implies; without one, those of all families."""
    for name in OF_A_FAMILY:
        if name not in EXTENSIONS or bool(getattr(family, EXTENSIONS[name], None)):
            yield name


def of_task(task: Task) -> Iterator[str]:
    """Return the checks that are run for a pipeline that serves `task`."""
    return (name for name in OF_A_TASK if name not in OCCASIONS or OCCASIONS[name](task))


def tasks_of(pipeline: Pipeline) -> tuple[Task, ...]:
    """Return the tasks that `pipeline` serves by itself, the primary one first.

    A stage of a chain (`opens_as`) serves none, since it needs the output of another stage.
    """
    return () if pipeline.opens_as is not None else tuple(map(Task, pipeline.tasks))
