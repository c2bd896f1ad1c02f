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

from ..errors import ArgumentError, ImageFileError, nearest
from ..registry import Registry
from ..tasks import Input
from ..utils import load_image
from .inputs import word
from .request import OPTIONS, Request, listed, needs_of

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_SCALARS = (bool, int, float, str, list, tuple, dict, types.NoneType)
_WITHOUT_ANNOTATION: Mapping[str, Any] = {"number": int | float, "label": int | str}
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}
_OURS = {"generator": "--seed", "output_type": "the suffix of --output", "return_dict": "nothing"}


def call_of(asked: Request, cls: type, registry: Registry) -> dict[str, Any]:
    """The arguments of a call of `cls`: what was asked for, and nothing else.

    Raises:
        ArgumentError: the call has no such argument, or a value doesn't fit.
        ImageFileError: a file can't be read.
    """
    takes = {**parameters_of(cls), **dict.fromkeys(_of_addons(asked, registry))}
    known = [name for name in takes if name not in _OURS]
    for one in asked.inputs:
        if one.name not in takes:
            raise ArgumentError(f"{cls.__name__} takes no {word(one)}; leave it out")
    for name in asked.set:
        if name in _OURS:
            raise ArgumentError(f"--set {name}: that follows from {_OURS[name]}; leave it out")
        if name not in takes:
            raise ArgumentError(f"{cls.__name__} takes no {name!r}.{nearest(name, known)}")
    call = {one.name: _read(one, text, cls) for one, text in asked.inputs.items()}
    options = dict(asked.call)
    if "width" in options and _fit_to_size(call, asked) and "width" not in takes:
        del options["width"], options["height"]
    for name in options:
        if name not in takes:
            raise ArgumentError(_no_option(name, cls, asked, registry))
    call |= options
    for name, text in asked.set.items():
        if name in call:
            raise ArgumentError(f"{name} is given by an option and by --set; leave out one")
        call[name] = _set(name, text, cls)
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


def _of_addons(asked: Request, registry: Registry) -> list[str]:
    return [one.name for n, _ in asked.attach for one in registry.entry("addon", n).inputs]


def _no_option(name: str, cls: type, asked: Request, registry: Registry) -> str:
    text = f"{cls.__name__} takes no --{OPTIONS.get(name, 'size')}"
    given = set(map(word, asked.inputs))
    others = [task for task in registry.tasks if name in task.parameters and task != asked.task]
    missing = [one for task in others[:1] for one in needs_of(task) if one not in given]
    return f"{text}; leave it out" + (f", or give {listed(missing)} too" if missing else "")


def _fit_to_size(call: dict[str, Any], asked: Request) -> bool:
    """Resize the pictures that the task starts from; whether there are any."""
    from PIL.Image import Resampling

    how = {"image": Resampling.LANCZOS, "mask": Resampling.NEAREST}
    of_task = asked.task.inputs if asked.task else asked.inputs
    pictures = [one for one in of_task if one.kind in how and one.name in call]
    for one in pictures:
        size = asked.call["width"], asked.call["height"]
        call[one.name] = call[one.name].resize(size, how[one.kind])
    return bool(pictures)


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
        f"{written} can't be used: {name} takes {shown.replace('NoneType', 'None')}, as JSON"
    )


def _frames(path: str) -> list[Image]:
    """The frames of a file that Pillow reads, such as an animated GIF."""
    import PIL.Image
    import PIL.ImageSequence

    try:
        with PIL.Image.open(path) as video:
            return [frame.convert("RGB") for frame in PIL.ImageSequence.Iterator(video)]
    except (OSError, ValueError) as error:
        raise ImageFileError(
            f"{path!r} can't be read as an animation ({error}); give a GIF, a WebP or an APNG"
        ) from error


def _sound(path: str) -> np.ndarray:
    """A WAV file of 16 bits as an array of shape (channels, samples) in [-1, 1]."""
    import numpy as np

    try:
        with wave.open(path, "rb") as source:
            if source.getsampwidth() != 2:
                raise wave.Error(f"it has {8 * source.getsampwidth()} bits a sample")
            samples = np.frombuffer(source.readframes(source.getnframes()), "<i2")
            return samples.reshape(-1, source.getnchannels()).T.astype(np.float32) / 32768
    except (OSError, EOFError, wave.Error) as error:
        raise ImageFileError(f"{path!r} can't be read as a WAV file of 16 bits: {error}") from error
