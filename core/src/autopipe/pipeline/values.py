"""Checks and converts the arguments of a call by the annotations of its signature.

Parameters annotated as `int`, `float`, `bool`, `str`, `Tensor` or a sequence of numbers, or as a
union of these and None, are checked before the call begins: numbers of numpy, torch and `fractions`
are converted if that is exact, and values of the wrong type, NaN, and text that can't be encoded
are refused by the parameter's name. Not checked are None, parameters with other annotations, and
values of a type that a union doesn't contain.
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
"""`(name, value) -> value`, converted; raises `ArgumentError` if the value is not valid."""

_FINITE = Range(-sys.float_info.max, sys.float_info.max)


def readers_of(call: Callable[..., Any]) -> dict[str, Reader]:
    """Return the reader of each parameter of `call` whose annotation is checked."""
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
    """Return `given` with the values converted by the readers.

    Raises:
        ArgumentError: if a value is not valid.
        ArgumentTypeError: if a value has the wrong type.
    """
    return {
        name: value if value is None or name not in readers else readers[name](name, value)
        for name, value in given.items()
    }


def whole(name: str, value: Any) -> int:
    """Return an integer from any number that is exactly one; True and False are not numbers.

    Raises:
        ArgumentTypeError: if `value` is not an integer.
    """
    try:
        found: int = fitted(_scalar(value), int)
    except Unfit as error:
        raise ArgumentTypeError(f"{name} is {_value_text(value)}; give {error}") from None
    return found


def number(name: str, value: Any) -> float:
    """Return a finite number; True and False are not numbers.

    Raises:
        ArgumentTypeError: if `value` is not a number.
        ArgumentError: if it is not finite, or too large for a float.
    """
    try:
        found: float = fitted(_scalar(value), float, _FINITE)
    except Unfit:
        if is_number(_scalar(value)):
            raise ArgumentError(f"{name} is {_value_text(value)}; give a finite number") from None
        raise ArgumentTypeError(f"{name} is {_value_text(value)}; give a number") from None
    return found


def flag(name: str, value: Any) -> bool:
    """Return a bool; 1 and 0 are accepted.

    Raises:
        ArgumentTypeError: if `value` is anything else.
    """
    try:
        return bool(fitted(_scalar(value), bool))
    except Unfit:
        raise ArgumentTypeError(f"{name} is {_value_text(value)}; give True or False") from None


def text(name: str, value: Any) -> Any:
    """Return `value` after checking that a string, or a list of strings, can be encoded.

    Raises:
        ArgumentError: if it contains a lone surrogate.
    """
    for one in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(one, str) and not one.isascii():
            try:
                one.encode()
            except UnicodeEncodeError as error:
                raise ArgumentError(
                    f"{name} has the lone surrogate {shown(one[error.start])} at character "
                    f"{error.start}; give text that can be encoded as UTF-8"
                ) from None
    return value


def tensor(name: str, value: Any) -> Tensor:
    """Return `value` after checking that it is a dense tensor of real numbers.

    Raises:
        ArgumentTypeError: if it is anything else.
    """
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{name} is {_described(value)}; give a torch.Tensor")
    check_dense(name, value)
    return value


def check_dense(name: str, given: Tensor) -> None:
    """Check that a tensor is dense and real.

    Raises:
        ArgumentTypeError: if it is sparse, quantised, nested, complex, or without data.
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
        raise ArgumentTypeError(f"{name} has the dtype {given.dtype}; give integers or floats")


def numbers(name: str, value: Any) -> Any:
    """Return a list or tuple of numbers, also from an array or a tensor; other values unchanged.

    Raises:
        ArgumentTypeError: if an entry is not a number.
        ArgumentError: if an entry is not finite.
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
    """Return the reader for an annotation; None if values are not checked."""
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
    """Return the type of the entries if the annotation is a sequence of one type, else None."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if not isinstance(origin, type) or not issubclass(origin, Sequence):
        return None
    kinds = {one for one in inner if one is not Ellipsis}
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= {int, float, str} else None


def _annotation(call: Callable[..., Any], name: str) -> Any:
    """Return the evaluated annotation of a parameter; None if it can't be evaluated."""

    def alone() -> None: ...

    alone.__annotations__ = {name: getattr(call, "__annotations__", {}).get(name)}
    try:
        scope = inspect.unwrap(call).__globals__
        return inspect.get_annotations(alone, globals=scope, eval_str=True)[name]
    except Exception:
        # An annotation may be meant for type checkers only.
        return None


def _scalar(value: Any) -> Any:
    """Return the number of a one-element tensor or array; other values unchanged."""
    if isinstance(value, Tensor):
        plain = value.layout == torch.strided and not value.is_meta and not value.is_nested
        return value.item() if plain and value.numel() == 1 else value
    if type(value).__module__ == "numpy" and getattr(value, "size", 0) == 1:
        return value.item()
    return value


def _value_text(value: Any) -> str:
    """Return a number itself, or a description of another value."""
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
