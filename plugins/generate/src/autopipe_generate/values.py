"""From what is written on a command line to the arguments of a call."""

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
from autopipe.wording import shown, told

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
"""Bytes of a film or a sound."""

_OURS = {"generator": "--seed", "output_type": "--output", "return_dict": "--json"}
"""What is never set by name, and the option that has to do with it."""


def call_of(asked: Request, cls: type, registry: Registry) -> dict[str, Any]:
    """The arguments of a call of `cls`: what was asked for, and nothing else.

    Raises:
        ArgumentError: the call has no such argument, or a value doesn't fit.
        ImageFileError: a file can't be read.
    """
    from PIL.Image import Resampling

    takes = [*parameters_of(cls), *(["adapters"] if asked.attach else [])]
    takes += [one.name for n in asked.addons for one in registry.entry("addon", n).inputs]
    options = dict(asked.call)
    if _pictures(asked) and "width" not in takes:
        options = {name: value for name, value in options.items() if name not in _SIZE}
    written = {
        **{name: f"--{OPTIONS.get(name, 'size')}" for name in options},
        **{one.name: word(one) for one in asked.inputs},
    }
    repeats = asked.task.repeats if asked.task else None
    ours = {**_OURS, **({repeats: "--num-images"} if repeats else {}), **written}
    for name in asked.set:
        if source := ours.get(name):
            raise ArgumentError(f"--set {name}: that is given by {source}; leave out one")
    for name, text in {**{name: repr(name) for name in asked.set}, **written}.items():
        if name not in takes:
            hint = "." + nearest(name, takes) if name in asked.set else ""
            hint = hint or _needed(name, asked, registry)
            raise ArgumentError(f"{cls.__name__} takes no {text}{hint}")
    call = {one.name: _read(one, text, cls) for one, text in asked.inputs.items()}
    for one in _pictures(asked) if "width" in asked.call else ():
        size = asked.call["width"], asked.call["height"]
        call[one.name] = call[one.name].resize(size, Resampling[_RESAMPLING[one.kind]])
    call |= options
    call |= {name: _set(name, text, cls) for name, text in asked.set.items()}
    if "paste_unmasked" in takes and asked.paste_unmasked:
        call.setdefault("paste_unmasked", True)
    for name, parameter in parameters_of(cls).items():
        if parameter.default is parameter.empty and name not in call:
            raise ArgumentError(f"{cls.__name__} needs {name}; give --set {name}=...")
    return call


def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """The named parameters of a call of `cls`."""
    found = inspect.signature(cls.__call__).parameters
    return {
        name: one
        for name, one in list(found.items())[1:]
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }


def _needed(name: str, asked: Request, registry: Registry) -> str:
    """What has to be given too for a task that has a parameter of this name."""
    given = set(map(word, asked.inputs))
    others = [task for task in registry.tasks if name in task.parameters and task != asked.task]
    missing = [text for task in others[:1] for text in needs_of(task) if text not in given]
    return "; leave it out" + (f", or give {listed(missing)} too" if missing else "")


def _pictures(asked: Request) -> list[Input]:
    """The pictures given that the task starts from."""
    of_task = asked.task.inputs if asked.task else asked.inputs
    return [one for one in of_task if one.kind in _RESAMPLING and one in asked.inputs]


def _read(one: Input, text: str, cls: type) -> Any:
    """The value of an input by its kind."""
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
    """What a parameter of a call is declared to take, as far as that is known at run time."""
    function = inspect.unwrap(cls.__call__)
    parameter = inspect.signature(function).parameters.get(name)
    if parameter is None or parameter.annotation is parameter.empty:
        return otherwise
    holder = type(name, (), {"__annotations__": {name: parameter.annotation}})
    with suppress(Exception):  # A name that is imported for type checks only.
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}))[name]
    return otherwise


def _plain(kind: Any) -> Any:
    """The part of an annotation that JSON has values for; None if there is none."""
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
    """`text` as JSON where it is such, else as text, if the value fits `kind` exactly."""
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
    raise ArgumentError(
        f"{written} can't be used: {name} takes {shown.replace('NoneType', 'None')}"
    )


def _frames(path: str) -> list[Image]:
    """The frames of a file that Pillow reads, such as an animated GIF."""
    import PIL.Image
    import PIL.ImageSequence

    try:
        with opened(path, _LARGEST) as stream, PIL.Image.open(stream) as video:
            return [frame.convert("RGB") for frame in PIL.ImageSequence.Iterator(video)]
    except (OSError, ValueError) as error:
        raise ImageFileError(
            f"{shown(path)} can't be read as an animation ({told(error)}); give a GIF, a WebP or "
            f"an APNG"
        ) from error


def _sound(path: str) -> np.ndarray:
    """A WAV file of 16 bits as an array of shape (channels, samples) in [-1, 1]."""
    import numpy as np

    try:
        with opened(path, _LARGEST) as stream, wave.open(stream, "rb") as source:
            if source.getsampwidth() != 2:
                raise wave.Error(f"it has {8 * source.getsampwidth()} bits a sample")
            samples = np.frombuffer(source.readframes(source.getnframes()), "<i2")
            return samples.reshape(-1, source.getnchannels()).T.astype(np.float32) / 32768
    except (OSError, EOFError, wave.Error) as error:
        raise ImageFileError(
            f"{shown(path)} can't be read as a WAV file of 16 bits: {told(error)}"
        ) from error
