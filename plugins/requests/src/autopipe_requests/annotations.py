"""The part of an annotation that JSON can express."""

from __future__ import annotations

import inspect
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import JsonValue, confloat, conint

from .request import File

FileValue = str | File
"""A file in JSON: its path, or an object with the path and a hash."""

Anything = File | JsonValue
"""The type of an argument without a useful annotation."""

_SCALARS = (bool, int, float, str, types.NoneType)
_WITHOUT_ITEMS = {list: list[JsonValue], tuple: list[JsonValue], dict: dict[str, JsonValue]}
_LISTS = frozenset((list, Sequence, typing.MutableSequence, Iterable))
_MAPPINGS = frozenset((dict, Mapping, typing.MutableMapping))
_UNIONS = (typing.Union, types.UnionType)
_NOT_SAID = (Any, object, inspect.Parameter.empty)


def annotation_of(function: Callable[..., Any], name: str) -> Any:
    """Return the evaluated annotation of a parameter; `Any` if there is none.

    It is also `Any` if the annotation can't be evaluated, because it contains names that are
    imported only for type checkers.
    """
    function = inspect.unwrap(function)
    annotation = getattr(function, "__annotations__", {}).get(name, Any)
    holder = type("Holder", (), {"__annotations__": {"value": annotation}})
    with suppress(Exception):
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}))["value"]
    return Any


def json_part(annotation: Any) -> Any:
    """Return the type of the values of an annotation that JSON can express; None without any.

    Sequences become lists, and mappings dicts. None alone is not such a part.
    """
    found = _part(annotation)
    return None if found is types.NoneType else found


def is_picture(annotation: Any) -> bool:
    """Whether a value may be a PIL image."""
    return any(
        isinstance(one, type) and (one.__module__, one.__qualname__) == ("PIL.Image", "Image")
        for one in alternatives(annotation)
    )


def is_anything(annotation: Any) -> bool:
    """Whether an annotation says nothing about values."""
    return any(annotation is one for one in _NOT_SAID)


def alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, or the annotation itself."""
    if typing.get_origin(annotation) in _UNIONS:
        for one in typing.get_args(annotation):
            yield from alternatives(one)
    else:
        yield annotation


def union(types_: Iterable[Any]) -> Any:
    """Return the union of types, each once; `Anything` if one of them accepts everything."""
    found = list(dict.fromkeys(one for each in types_ for one in alternatives(each)))
    if JsonValue in found:
        return Anything
    # A type without limits includes the same type with limits.
    return reduce(operator.or_, (one for one in found if _wider(one) not in found))


def limited(kind: Any, low: float, high: float) -> Any:
    """Return a type of `json_part` whose numbers, also in lists, are from `low` to `high`."""
    if kind is int:
        return conint(ge=math.ceil(low), le=math.floor(high))
    if kind is float:
        return confloat(ge=low, le=high)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        return union(limited(one, low, high) for one in inner)
    if origin is list:
        return types.GenericAlias(list, (limited(inner[0], low, high),))
    return kind


def words_of(kind: Any) -> str:
    """Return a type of `json_part` as it is called in messages."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Anything, JsonValue):
        return "any JSON"
    if kind is types.NoneType:
        return "None"
    if origin in _UNIONS:
        return " | ".join(words_of(one) for one in inner)
    if origin is Annotated:
        limits = next(one for one in inner[1:] if hasattr(one, "ge"))
        return f"{words_of(inner[0])} from {limits.ge:g} to {limits.le:g}"
    if origin is Literal:
        return " | ".join(map(repr, inner))
    if inner:
        names = ", ".join("..." if one is Ellipsis else words_of(one) for one in inner)
        return f"{origin.__name__}[{names}]"
    return "a file" if kind is File else str(kind.__name__)


def _wider(kind: Any) -> Any:
    """Return the type without its limits; None if it has none."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else None


def _part(kind: Any) -> Any:
    if is_anything(kind) or kind is JsonValue:
        return Anything
    if any(kind is one for one in _SCALARS):
        return kind
    if isinstance(kind, type) and kind in _WITHOUT_ITEMS:
        return _WITHOUT_ITEMS[kind]
    if hasattr(kind, "__value__"):  # type X = ...
        return _part(kind.__value__)
    if hasattr(kind, "__supertype__"):  # NewType
        return _part(kind.__supertype__)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _part(inner[0])
    if origin in _UNIONS:
        parts = [part for one in inner if (part := _part(one)) is not None]
        return union(parts) if parts else None
    if origin is Literal:
        return kind if all(type(one) in _SCALARS for one in inner) else None
    if origin in _LISTS or (origin is tuple and inner[-1:] == (Ellipsis,)):
        part = _item(inner[0])
        return None if part is None else types.GenericAlias(list, (part,))
    if origin is tuple:
        items = tuple(_item(one) for one in inner)
        return None if None in items else types.GenericAlias(tuple, items)
    if origin in _MAPPINGS:
        part = _item(inner[1])
        return None if part is None or inner[0] not in (str, Any) else dict[str, part]  # type: ignore[valid-type]
    return None


def _item(kind: Any) -> Any:
    """Return the part for the entries of a container."""
    part = _part(kind)
    return JsonValue if part == Anything else None if part is types.NoneType else part
