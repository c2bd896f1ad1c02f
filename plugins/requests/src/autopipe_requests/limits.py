"""What a request has far more of than usual ones, as far as that takes time or memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from .checking import SIZE
from .request import Request, Stage

_Sides: TypeAlias = "tuple[int | None, int | None]"
"""Width and height in pixels; None if unknown."""

MOST_PIXELS = 1 << 24
"""The usual number of pixels of an image at most: 4096 by 4096."""

MOST_PIXELS_TOGETHER = 1 << 28
"""The usual number of pixels of all results of a call at most: about 1000 of 512 by 512."""

MOST = 1000
"""The usual number of anything else at most, such as steps, frames or results of one call."""

MOST_ADDONS, MOST_STAGES = 64, 4
"""The usual number of add-ons, and of stages that enlarge, at most; each loads weights."""

_LONGEST = 1 << 17
_SIDE = 512
"""A side in pixels that isn't known."""


def beyond_usual(request: Request, rows: int = 1) -> list[str]:
    """Return what is far more than usual in a request, in words; nothing if all is usual.

    Args:
        rows: the number of results that are drawn in one call.
    """
    found = [f"{rows:,} results in one call"] if rows > MOST else []
    found += [f"{len(request.addons)} add-ons"] if len(request.addons) > MOST_ADDONS else []
    found += [f"{len(request.upscale)} enlargements"] if len(request.upscale) > MOST_STAGES else []
    found += _large(request.size)
    stages = (request, *request.upscale)
    for stage in stages:
        found += _of_stage(stage)
    together = rows * max(map(_pixels, (request.size, *map(_sides, stages))))
    # What is too much by itself has been told.
    if rows <= MOST and together <= rows * MOST_PIXELS and together > MOST_PIXELS_TOGETHER:
        found.append(f"{rows:,} results with {together:,} pixels together in one call")
    return found


def _of_stage(stage: Stage) -> Iterator[str]:
    yield from _large(_sides(stage))
    arguments = {name: one for name, one in stage.arguments.items() if name not in SIZE}
    for name, value in {**arguments, **(stage.scheduler.config if stage.scheduler else {})}.items():
        if isinstance(value, int) and value > MOST:
            yield f"{name} {value:,}"
        elif isinstance(value, str) and len(value) > _LONGEST:
            yield f"{name} of {len(value):,} characters"
        elif isinstance(value, list) and len(value) > MOST:
            yield f"{name} with {len(value):,} entries"


def _sides(stage: Stage) -> _Sides:
    width, height = (stage.arguments.get(name) for name in SIZE)
    return width if isinstance(width, int) else None, height if isinstance(height, int) else None


def _pixels(sides: _Sides | None) -> int:
    width, height = sides or (None, None)
    return (width or _SIDE) * (height or _SIDE)


def _large(sides: _Sides | None) -> Iterator[str]:
    if sides and _pixels(sides) > MOST_PIXELS:
        yield f"{' x '.join(f'{one:,}' for one in sides if one is not None)} pixels"
