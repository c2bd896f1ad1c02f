"""Values for the arguments of a call, as the record of its task gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from PIL import Image

from autopipe.tasks import Input, Task


def picture(size: tuple[int, int]) -> Image.Image:
    """A picture with four colours, blurred a little by its size."""
    small = Image.new("RGB", (2, 2))
    small.putdata([(220, 40, 40), (40, 200, 60), (50, 60, 220), (230, 220, 60)])
    return small.resize(size, Image.Resampling.BILINEAR)


def mask(size: tuple[int, int]) -> Image.Image:
    """White in the right half."""
    found = Image.new("L", size)
    found.paste(255, (size[0] // 2, 0, *size))
    return found


MADE: dict[str, Callable[[tuple[int, int]], Any]] = {"image": picture, "mask": mask}
"""The kinds of inputs that need no sample."""

SETTINGS = ("number", "value")
"""The kinds of inputs that are one for a whole batch."""


def made_of(inputs: Iterable[Input], size: tuple[int, int]) -> dict[str, Any]:
    """Values for those of `inputs` that need no sample; pictures are of width and height `size`."""
    return {given.name: MADE[given.kind](size) for given in inputs if given.kind in MADE}


def samples_of(task: Task, second: bool = False) -> dict[str, Any]:
    """Arguments of a call for `task`, as far as it has samples of them.

    Args:
        second: whether to take the second value where a sample has two.
    """
    made = {}
    for name, values in task.samples.items():
        value = values[-1] if second else values[0]
        made[name] = value() if callable(value) else value
    return made


def batched(task: Task) -> list[str]:
    """The inputs of which a call takes a list, one for each result."""
    there = [given for given in task.inputs if given.kind in MADE or given.name in task.samples]
    return [given.name for given in there if given.kind not in SETTINGS]
