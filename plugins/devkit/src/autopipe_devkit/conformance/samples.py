"""Values for the arguments of a call, as the record of its task gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from autopipe.tasks import Input, Task


def picture(size: tuple[int, int], second: bool = False) -> Image.Image:
    """A picture with four colours, blurred a little by its size; a darker one if `second`."""
    small = Image.new("RGB", (2, 2))
    colours = [(220, 40, 40), (40, 200, 60), (50, 60, 220), (230, 220, 60)]
    darker = [(30, 90, 90), (10, 20, 140), (120, 30, 20), (60, 10, 70)]
    small.putdata(darker if second else colours)
    return small.resize(size, Image.Resampling.BILINEAR)


def mask(size: tuple[int, int], second: bool = False) -> Image.Image:
    """White in the right half, or in the lower one if `second`."""
    found = Image.new("L", size)
    found.paste(255, (0, size[1] // 2, *size) if second else (size[0] // 2, 0, *size))
    return found


MADE: dict[str, Callable[[tuple[int, int], bool], Any]] = {"image": picture, "mask": mask}
"""The kinds of inputs that need no sample."""

SETTINGS = ("number", "value")
"""The kinds of inputs that are one for a whole batch."""

KNOWN: Mapping[str, tuple[Any, ...]] = {
    **Task.IMAGE2IMAGE.samples,
    "strength": (0.5, 1.0),
    "negative_prompt": ("", "a green square"),
}
"""Values of arguments that every family calls so, where its task has no samples of them."""


def made_of(inputs: Iterable[Input], size: tuple[int, int], second: bool = False) -> dict[str, Any]:
    """Values for those of `inputs` that need no sample; pictures are of width and height `size`."""
    return {one.name: MADE[one.kind](size, second) for one in inputs if one.kind in MADE}


def chosen(samples: Mapping[str, Sequence[Any]], second: bool = False) -> dict[str, Any]:
    """A value of each of `samples`.

    Args:
        second: whether to take the second value where a sample has two.
    """
    made = {}
    for name, values in samples.items():
        value = values[-1] if second else values[0]
        made[name] = value() if callable(value) else value
    return made


def batched(task: Task) -> list[str]:
    """The inputs of which a call takes a list, one for each result."""
    there = [given for given in task.inputs if given.kind in MADE or given.name in task.samples]
    return [given.name for given in there if given.kind not in SETTINGS]


def same(one: Any, other: Any) -> bool:
    """Whether two values of an argument are equal, arrays and tensors by all their numbers."""
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return bool(one.shape == other.shape and (one == other).all())
    return type(one) is type(other) and bool(one == other)
