"""The values of a call's arguments, as its signature declares them.

What is annotated as `int`, `float`, `bool`, `str` or `Tensor`, or as a sequence of numbers, also
beside None and beside each other, is settled before the call begins: numbers of numpy, torch and
`fractions` become Python's where that is exact, and what is not of the kind, is not a number, or
can't be encoded is refused by the parameter's name. Nothing else is looked at: annotations that
say something else, None, and values of other kinds than an annotation in several parts names.
"""

from __future__ import annotations

import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..errors import ArgumentError, ArgumentTypeError
from ..values import Range, Unfit, fitted, is_number
from ..wording import shown

Reader: TypeAlias = Callable[[str, Any], Any]
"""`(name, value) -> value`, as the parameter declares it; raises `ArgumentError` if it can't be."""

_FINITE = Range(-sys.float_info.max, sys.float_info.max)


def readers_of(call: Callable[..., Any]) -> dict[str, Reader]:
    """The reader of each parameter of `call` that declares a kind of value."""
    found = {}
    for name, parameter in inspect.signature(call).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        reader = _reader(_annotation(call, name))
        if reader is number and _is_endless(parameter.default):
            continue
        if reader is not None:
            found[name] = reader
    return found


def settled(readers: Mapping[str, Reader], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with the values that the readers make of them.

    Raises:
        ArgumentError, ArgumentTypeError: one can't be used.
    """
    return {
        name: value if value is None or name not in readers else readers[name](name, value)
        for name, value in given.items()
    }


def whole(name: str, value: Any) -> int:
    """A whole number, of any kind of number that is exactly one; True and False are not.

    Raises:
        ArgumentTypeError: it is not one.
    """
    try:
        found: int = fitted(_scalar(value), int)
    except Unfit as error:
        raise ArgumentTypeError(f"{name} is {_told(value)}; give {error}") from None
    return found


def number(name: str, value: Any) -> float:
    """A finite number of any kind; True and False are not numbers.

    Raises:
        ArgumentTypeError: it is not a number.
        ArgumentError: it is not finite, or too large for a float.
    """
    try:
        found: float = fitted(_scalar(value), float, _FINITE)
    except Unfit:
        if is_number(_scalar(value)):
            raise ArgumentError(f"{name} is {_told(value)}; give a finite number") from None
        raise ArgumentTypeError(f"{name} is {_told(value)}; give a number") from None
    return found


def flag(name: str, value: Any) -> bool:
    """True or False, also as 1 and 0.

    Raises:
        ArgumentTypeError: it is something else.
    """
    try:
        return bool(fitted(_scalar(value), bool))
    except Unfit:
        raise ArgumentTypeError(f"{name} is {_told(value)}; give True or False") from None


def text(name: str, value: Any) -> Any:
    """Text that can be encoded; a list is looked through, and anything else left as it is.

    Raises:
        ArgumentError: it holds half of a surrogate pair.
    """
    for one in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(one, str) and not one.isascii():
            try:
                one.encode()
            except UnicodeEncodeError as error:
                raise ArgumentError(
                    f"{name} has {shown(one[error.start])} at character {error.start}, half of a "
                    f"pair that stands for one character; give text that can be encoded as UTF-8"
                ) from None
    return value


def tensor(name: str, value: Any) -> Tensor:
    """A dense tensor of real numbers.

    Raises:
        ArgumentTypeError: it is something else.
    """
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{name} is {_described(value)}; give a torch.Tensor")
    check_dense(name, value)
    return value


def check_dense(name: str, given: Tensor) -> None:
    """Refuse a tensor that is not an ordinary one of real numbers.

    Raises:
        ArgumentTypeError: it is sparse, quantised, nested, complex, or without data.
    """
    flaws = {
        "sparse": given.layout != torch.strided or given.is_nested,
        "quantised": given.is_quantized,
        "without data (device 'meta')": given.is_meta,
    }
    for flaw, found in flaws.items():
        if found:
            raise ArgumentTypeError(f"{name} is a tensor that is {flaw}; give a dense one")
    if given.is_complex():
        raise ArgumentTypeError(f"{name} is made of {given.dtype}; give whole numbers or floats")


def numbers(name: str, value: Any) -> Any:
    """A list or tuple of numbers, also of an array or a tensor; anything else as it is.

    Raises:
        ArgumentError, ArgumentTypeError: an entry is not a finite number.
    """
    if isinstance(value, Tensor) or type(value).__module__ == "numpy":
        check_dense(name, value) if isinstance(value, Tensor) else None
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return value
    return type(value)([number(f"{name}[{i}]", one) for i, one in enumerate(value)])


def _number_or_numbers(name: str, value: Any) -> Any:
    found = _scalar(value)
    several = numbers(name, found)
    return several if isinstance(several, (list, tuple)) else number(name, found)


_KINDS: dict[Any, Reader] = {int: whole, float: number, bool: flag, str: text, Tensor: tensor}


def _reader(hint: Any) -> Reader | None:
    """What an annotation asks for; None where it says nothing of this kind."""
    parts = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not types.NoneType]
    sequences = [part for part in parts if _items(part) is not None]
    items = {_items(part) for part in sequences}
    alone = [part for part in parts if part not in sequences]
    if items <= {str} and set(alone) <= {str} and parts:
        return text
    if items and items <= {int, float}:
        return numbers if not alone else _number_or_numbers if set(alone) <= {int, float} else None
    return _KINDS.get(alone[0]) if len(parts) == 1 and alone and _hashable(alone[0]) else None


def _items(hint: Any) -> Any:
    """The class of all entries of a sequence that an annotation names, or None."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if not isinstance(origin, type) or not issubclass(origin, Sequence):
        return None
    kinds = {one for one in inner if one is not Ellipsis}
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= {int, float, str} else None


def _annotation(call: Callable[..., Any], name: str) -> Any:
    """What stands beside a parameter, evaluated; None if that can't be done."""

    def alone() -> None: ...

    alone.__annotations__ = {name: getattr(call, "__annotations__", {}).get(name)}
    try:
        scope = inspect.unwrap(call).__globals__
        return inspect.get_annotations(alone, globals=scope, eval_str=True)[name]
    except Exception:
        # An annotation may be made for type checkers alone.
        return None


def _scalar(value: Any) -> Any:
    """The one number of a tensor or array, as Python's; other values as they are."""
    if isinstance(value, Tensor):
        plain = value.layout == torch.strided and not value.is_meta and not value.is_nested
        return value.item() if plain and value.numel() == 1 else value
    if type(value).__module__ == "numpy" and getattr(value, "size", 0) == 1:
        return value.item()
    return value


def _told(value: Any) -> str:
    """A number itself, and what something else is."""
    return shown(_scalar(value)) if is_number(_scalar(value)) else _described(value)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    shape = getattr(value, "shape", None)
    of_shape = f" of shape {shape}" if isinstance(shape, tuple) else ""
    return f"a {type(value).__name__}{of_shape}"


def _is_endless(default: Any) -> bool:
    return isinstance(default, float) and not math.isfinite(default)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
