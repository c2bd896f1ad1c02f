"""Checks requests against the limits of the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autopipe.errors import AutopipeError
from autopipe.regular import opened
from autopipe_requests.checking import SIZE
from autopipe_requests.limits import beyond_usual
from autopipe_requests.request import Request
from autopipe_requests.signatures import takes_of

from .settings import Limits

_STEPS = "num_inference_steps"
_SCHEDULES = ("timesteps", "sigmas")


class BusyError(AutopipeError):
    """The queue is full.

    Attributes:
        seconds: when to try again.
    """

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class StoppingError(AutopipeError):
    """The server is being stopped: another one takes the request, or this one when it is back."""

    def __init__(self) -> None:
        super().__init__("the server is being stopped; send the request again")


class LimitError(AutopipeError):
    """A request exceeds a limit of the server."""


def check_texts(given: Mapping[str, Any], limits: Limits) -> None:
    """Check the length of the texts of a request, before anything else reads them.

    Raises:
        LimitError: if one is too long.
    """
    for name, text in _texts(given):
        if len(text) > limits.prompt:
            raise LimitError(
                f"{name} has {len(text):,} characters, and this server takes at most "
                f"{limits.prompt:,}; shorten it"
            )


def check_request(
    request: Request, cls: type, size: tuple[int, int] | None, limits: Limits
) -> None:
    """Check the steps and the size of a request.

    Args:
        cls: the class of its pipeline.
        size: width and height in pixels of its result; None if unknown.

    Raises:
        LimitError: if it exceeds a limit.
    """
    steps = steps_of(cls, request.arguments)
    # The classes of later stages aren't known here; what isn't given is their default.
    steps += sum(steps_of(object, stage.arguments) for stage in request.upscale)
    if steps > limits.steps:
        raise LimitError(
            f"the request has {steps:,} denoising steps, and this server takes at most "
            f"{limits.steps:,}; give fewer steps"
        )
    width, height = size or (0, 0)
    if width * height > limits.pixels:
        raise LimitError(
            f"an image of {width:,} x {height:,} has {width * height:,} pixels, and this server "
            f"draws at most {limits.pixels:,}; give a smaller size"
        )
    arguments = {name: one for name, one in request.arguments.items() if name not in SIZE}
    beyond = beyond_usual(request.model_copy(update={"size": None, "arguments": arguments}))
    if beyond:
        raise LimitError(
            f"the request has {beyond[0]}, which is far more than usual, so this server doesn't "
            f"draw it; give less"
        )


def steps_of(cls: type, arguments: Mapping[str, Any]) -> int:
    """Return the number of denoising steps of a call, of all of its stages together."""
    defaults = {} if cls is object else {n: p.default for n, p in takes_of(cls).items()}
    names = {name for name in (*defaults, *arguments) if name.endswith(_STEPS)}
    given = (arguments.get(name, defaults.get(name)) for name in names)
    steps = sum(one for one in given if isinstance(one, int))
    lists = [one for n in _SCHEDULES if isinstance(one := arguments.get(n), (list, tuple))]
    return max([steps, *map(len, lists)])


def size_of(request: Request, default: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return width and height in pixels of the result of a request; None if unknown.

    Args:
        default: the default of its pipeline, for tasks that don't start from an image.
    """
    if request.size is not None:
        return request.size
    width, height = (request.arguments.get(name) for name in SIZE)
    if isinstance(width, int) or isinstance(height, int):
        usual = default or (0, 0)
        sides = (one if isinstance(one, int) else two for one, two in zip((width, height), usual))
        return next(sides), next(sides)
    pictures = [one for one in request.arguments.values() if isinstance(one, dict)]
    sizes = [found for one in pictures if (found := _size_of_file(one.get("file")))]
    return max(sizes, key=lambda one: one[0] * one[1], default=default)


def _size_of_file(file: Any) -> tuple[int, int] | None:
    """Return the size of an image by its first bytes; None if it isn't one."""
    import PIL.Image

    try:
        with opened(file) as stream, PIL.Image.open(stream) as image:
            return image.size
    except Exception:  # PIL's readers raise many kinds; drawing reports it.
        return None


def _texts(value: Any, name: str = "a text") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, key if isinstance(key, str) and key.isidentifier() else name)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one, name)
