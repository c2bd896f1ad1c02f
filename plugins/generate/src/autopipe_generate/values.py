"""Converts the text of a command line to the arguments of a call."""

from __future__ import annotations

import inspect
import operator
import types
import typing
import wave
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import reduce
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError, ImageFileError, nearest
from autopipe.registry import Registry
from autopipe.regular import opened
from autopipe.tasks import Input
from autopipe.utils import load_image
from autopipe.wording import error_summary, shown

from .inputs import listed, needs_of, word
from .request import OPTIONS, Request

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_SCALARS = (bool, int, float, str, list, tuple, dict, types.NoneType)
_WITHOUT_ANNOTATION: Mapping[str, Any] = {"number": int | float, "label": int | str}
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}
_RESAMPLING = {"image": "LANCZOS", "mask": "NEAREST"}
_SIZE = ("width", "height")
_LARGEST = 1 << 32
"""The largest video or audio file, in bytes."""

_OURS = {"generator": "--seed", "output_type": "--output", "return_dict": "--json"}
"""Arguments that `--set` can't set, with the option that sets them."""


def call_of(request: Request, cls: type, registry: Registry) -> dict[str, Any]:
    """Return the requested arguments for a call of `cls`.

    Raises:
        ArgumentError: if the call has no such argument, or a value is not valid.
        ImageFileError: if a file can't be read.
    """
    from PIL.Image import Resampling

    takes = [*parameters_of(cls), *(["adapters"] if request.addons else [])]
    takes += [one.name for n in request.addons for one in registry.entry("addon", n).inputs]
    options = dict(request.call)
    if _pictures(request) and "width" not in takes:
        options = {name: value for name, value in options.items() if name not in _SIZE}
    written = {
        **{name: f"--{OPTIONS.get(name, 'size')}" for name in options},
        **{one.name: word(one) for one in request.inputs},
    }
    repeats = request.task.repeats if request.task else None
    ours = {**_OURS, **({repeats: "--num-images"} if repeats else {}), **written}
    for name in request.set:
        if source := ours.get(name):
            raise ArgumentError(f"--set {name}= and {source} set the same argument; give only one")
    for name, text in {**{name: repr(name) for name in request.set}, **written}.items():
        if name not in takes:
            hint = "." + nearest(name, takes) if name in request.set else ""
            hint = hint or _needed(name, request, registry)
            raise ArgumentError(f"{cls.__name__} doesn't take {text}{hint}")
    call = {one.name: _read(one, text, cls) for one, text in request.inputs.items()}
    for one in _pictures(request) if "width" in request.call else ():
        size = request.call["width"], request.call["height"]
        call[one.name] = call[one.name].resize(size, Resampling[_RESAMPLING[one.kind]])
    call |= options
    call |= {name: _set(name, text, cls) for name, text in request.set.items()}
    if "paste_unmasked" in takes and request.paste_unmasked:
        call.setdefault("paste_unmasked", True)
    for name, parameter in parameters_of(cls).items():
        if parameter.default is parameter.empty and name not in call:
            raise ArgumentError(f"{cls.__name__} needs {name}; give --set {name}=VALUE")
    return call


def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a call of `cls`."""
    found = inspect.signature(cls.__call__).parameters
    return {
        name: one
        for name, one in list(found.items())[1:]
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }


def _needed(name: str, request: Request, registry: Registry) -> str:
    """Return a hint: the inputs that are missing for a task with this parameter."""
    given = set(map(word, request.inputs))
    others = [task for task in registry.tasks if name in task.parameters and task != request.task]
    missing = [text for task in others[:1] for text in needs_of(task) if text not in given]
    return "; leave it out" + (f", or also give {listed(missing)}" if missing else "")


def _pictures(request: Request) -> list[Input]:
    """Return the given image inputs of the task."""
    of_task = request.task.inputs if request.task else request.inputs
    return [one for one in of_task if one.kind in _RESAMPLING and one in request.inputs]


def _read(one: Input, text: str, cls: type) -> Any:
    """Return the value of an input by its kind."""
    if one.kind == "text":
        return text
    if one.kind == "image":
        return load_image(text)
    if one.kind == "mask":
        return load_image(text).convert("L")
    if one.kind == "video":
        return _frames(text)
    if one.kind == "audio":
        return _sound(text)
    kind = _annotation(cls, one.name, _WITHOUT_ANNOTATION.get(one.kind, Any))
    return _typed(text, kind, f"{word(one)} {text}", one.name)


def _set(name: str, text: str, cls: type) -> Any:
    kind = _annotation(cls, name, Any)
    if text.startswith("@") and _plain(kind) != kind:
        return load_image(text[1:])
    return _typed(text, kind, f"--set {name}={text}", name)


def _annotation(cls: type, name: str, otherwise: Any) -> Any:
    """Return the annotation of a parameter, evaluated; `otherwise` if that is not possible."""
    function = inspect.unwrap(cls.__call__)
    parameter = inspect.signature(function).parameters.get(name)
    if parameter is None or parameter.annotation is parameter.empty:
        return otherwise
    holder = type(name, (), {"__annotations__": {name: parameter.annotation}})
    with suppress(Exception):  # names that are imported only for type checkers
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}))[name]
    return otherwise


def _plain(kind: Any) -> Any:
    """Return the part of an annotation that JSON can express, or None."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        parts = [part for one in inner if (part := _plain(one)) is not None]
        return reduce(operator.or_, parts) if parts else None
    if origin is typing.Literal or kind in _SCALARS or origin is dict:
        return kind
    if origin in (list, tuple, Sequence):
        whole = all(one is Ellipsis or _plain(one) == one for one in inner)
        return kind if whole else None
    return None


def _typed(text: str, kind: Any, written: str, name: str) -> Any:
    """Return `text` as JSON if that is valid, else as a string; the value must fit `kind`."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    plain = _plain(kind)
    adapter: TypeAdapter[Any] = TypeAdapter(
        Any if plain is None else plain,
        config=ConfigDict(strict=True, allow_inf_nan=False),
    )
    with suppress(ValidationError):
        return adapter.validate_json(_CONSTANTS.get(text, text))
    with suppress(ValidationError):
        return adapter.validate_python(text)
    shown = plain.__name__ if isinstance(plain, type) else str(plain)
    raise ArgumentError(f"{written} is not valid: {name} takes {shown.replace('NoneType', 'None')}")


def _frames(path: str) -> list[Image]:
    """Return the frames of a file that Pillow can read, such as an animated GIF."""
    import PIL.Image
    import PIL.ImageSequence

    try:
        with opened(path, _LARGEST) as stream, PIL.Image.open(stream) as video:
            return [frame.convert("RGB") for frame in PIL.ImageSequence.Iterator(video)]
    except (OSError, ValueError) as error:
        raise ImageFileError(
            f"{shown(path)} can't be read as an animation ({error_summary(error)}); give a GIF, a "
            f"WebP or an APNG"
        ) from error


def _sound(path: str) -> np.ndarray:
    """Read a 16-bit WAV file as an array of shape (channels, samples) in [-1, 1]."""
    import numpy as np

    try:
        with opened(path, _LARGEST) as stream, wave.open(stream, "rb") as source:
            if source.getsampwidth() != 2:
                raise wave.Error(f"it has {8 * source.getsampwidth()} bits per sample")
            samples = np.frombuffer(source.readframes(source.getnframes()), "<i2")
            return samples.reshape(-1, source.getnchannels()).T.astype(np.float32) / 32768
    except (OSError, EOFError, wave.Error) as error:
        raise ImageFileError(
            f"{shown(path)} can't be read as a 16-bit WAV file: {error_summary(error)}"
        ) from error
