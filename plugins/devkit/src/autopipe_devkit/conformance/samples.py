"""Values for the arguments of a call, derived from the declaration of its task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from autopipe.tasks import Input, Task


def picture(size: tuple[int, int], second: bool = False) -> Image.Image:
    """Return a picture that blends four colours; a darker one if `second`."""
    small = Image.new("RGB", (2, 2))
    colours = [(220, 40, 40), (40, 200, 60), (50, 60, 220), (230, 220, 60)]
    darker = [(30, 90, 90), (10, 20, 140), (120, 30, 20), (60, 10, 70)]
    small.putdata(darker if second else colours)
    return small.resize(size, Image.Resampling.BILINEAR)


def mask(size: tuple[int, int], second: bool = False) -> Image.Image:
    """Return a mask that is white in the right half, or in the lower half if `second`."""
    found = Image.new("L", size)
    found.paste(255, (0, size[1] // 2, *size) if second else (size[0] // 2, 0, *size))
    return found


MADE: dict[str, Callable[[tuple[int, int], bool], Any]] = {"image": picture, "mask": mask}
"""The kinds of inputs that need no sample."""

SETTINGS = ("number", "value")
"""The kinds of inputs that have one value for a whole batch."""

KNOWN: Mapping[str, tuple[Any, ...]] = {
    **Task.IMAGE2IMAGE.samples,
    "strength": (0.5, 1.0),
    "negative_prompt": ("", "a green square"),
}
"""Values of arguments that have the same name in all families, unless the task has samples."""


def made_of(inputs: Iterable[Input], size: tuple[int, int], second: bool = False) -> dict[str, Any]:
    """Return values for the inputs that need no sample; pictures have width and height `size`."""
    return {one.name: MADE[one.kind](size, second) for one in inputs if one.kind in MADE}


def chosen(samples: Mapping[str, Sequence[Any]], second: bool = False) -> dict[str, Any]:
    """Return one value of each of `samples`.

    Args:
        second: take the second value of samples that have two.
    """
    made = {}
    for name, values in samples.items():
        value = values[-1] if second else values[0]
        made[name] = value() if callable(value) else value
    return made


def generators(*seeds: int) -> list[Any]:
    """Return a generator for each seed."""
    import torch

    return [torch.Generator().manual_seed(seed) for seed in seeds]


def batched(task: Task) -> list[str]:
    """Return the names of the inputs that a call takes as lists, with one value per result."""
    there = [given for given in task.inputs if given.kind in MADE or given.name in task.samples]
    return [given.name for given in there if given.kind not in SETTINGS]


def as_served(task: Task, taken: Collection[str]) -> Task:
    """Return `task` without the optional inputs that a pipeline does without.

    Args:
        taken: the names of the parameters of its calls.
    """
    absent = {one.name for one in task.inputs if not one.required} - {*taken}
    if not absent:
        return task
    kept = {
        "inputs": tuple(one for one in task.inputs if one.name not in absent),
        "samples": {name: one for name, one in task.samples.items() if name not in absent},
    }
    return Task(str(task), **{**vars(task), **kept})
