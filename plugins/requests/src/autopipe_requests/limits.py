"""What a request has far more of than usual ones, as far as that takes time or memory."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from .request import Request, Stage

MOST_PIXELS = 1 << 24
"""The usual number of pixels of an image at most: 4096 by 4096."""

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
    for stage in (request, *request.upscale):
        found += _of_stage(stage)
    return found


def _of_stage(stage: Stage) -> Iterator[str]:
    arguments = dict(stage.arguments)
    yield from _large((arguments.pop("width", None), arguments.pop("height", None)))
    for name, value in {**arguments, **(stage.scheduler.config if stage.scheduler else {})}.items():
        if isinstance(value, int) and value > MOST:
            yield f"{name} {value:,}"
        elif isinstance(value, str) and len(value) > _LONGEST:
            yield f"{name} of {len(value):,} characters"
        elif isinstance(value, list) and len(value) > MOST:
            yield f"{name} with {len(value):,} entries"


def _large(size: tuple[JsonValue, JsonValue] | None) -> Iterator[str]:
    width, height = (one if isinstance(one, int) else None for one in size or (None, None))
    if (width or _SIDE) * (height or _SIDE) > MOST_PIXELS:
        sides = (f"{one:,}" for one in (width, height) if one is not None)
        yield f"{' x '.join(sides)} pixels"
