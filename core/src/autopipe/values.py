"""Checks the arguments of a constructor against its annotations and limits.

A number of another type is converted if its value is the same: 8.0 for an integer, a numpy scalar,
a tensor of one element.
"""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .wording import shown

_LONGEST = 1 << 17
"""The most entries of a list in a config; the longest lists have one per training timestep."""


@dataclass(frozen=True)
class Range:
    """The valid numbers of a config entry: at least `low`, at most `high`, and above `above`.

    For a list, `filled` means that it can't be empty, and `longest` is the maximum length.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float | None = None
    filled: bool = False
    longest: int = _LONGEST

    def __contains__(self, value: float) -> bool:
        over = self.above is None or value > self.above
        return over and self.low <= value <= self.high

    def __str__(self) -> str:
        ends = (self.low, " of at least"), (self.above, " of more than"), (self.high, " of at most")
        if self.low != -math.inf and self.high != math.inf:
            return f" from {self.low:,} to {self.high:,}"
        return " and".join(f"{words} {end:,}" for end, words in ends if end not in _OPEN)


_OPEN = (None, -math.inf, math.inf)
_LARGEST_EXACT = 1 << 53
"""Integers below it are exact as floats."""

ANY_NUMBER = Range()


class Unfit(Exception):
    """A value doesn't fit; the text says what was expected."""


@functools.lru_cache(maxsize=256)
def hints_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The annotations of `function`'s parameters; empty if they can't be resolved."""
    try:
        return typing.get_type_hints(function)
    except (NameError, AttributeError, TypeError, SyntaxError):
        return {}


def fitted(value: Any, hint: Any, limits: Range = ANY_NUMBER) -> Any:
    """Return `value`, converted to the annotation `hint`.

    Numbers, strings and lists of them are checked. For another class, a value is refused only if
    it is one of these. A bool may also be None, 0 or 1, as in published configs.

    Args:
        hint: an annotation; one without information accepts anything.
        limits: the valid numbers, also in lists.

    Raises:
        Unfit: if the value doesn't fit; the text says what was expected.
    """
    wanted = _alternatives(hint)
    for one in wanted:
        try:
            return _fitted(value, one, limits)
        except (Unfit, ArithmeticError, TypeError, ValueError, RuntimeError):
            pass
    raise Unfit(" or ".join(dict.fromkeys(_described(one, limits) for one in wanted)))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _fitted(value: Any, hint: Any, limits: Range) -> Any:
    if hint is types.NoneType:
        fits = value is None
    elif hint is bool:
        fits = value is None or _is_bool(value) or (is_number(value) and value in (0, 1))
    elif hint is int or hint is float:
        return _number(value, whole=hint is int, limits=limits)
    elif hint is str:
        fits = isinstance(value, str)
    elif _is_list(hint):
        return _list(value, hint, limits)
    elif isinstance(hint, type) and hint is not Any and not typing.get_args(hint):
        plain = value is None or isinstance(value, (bool, int, float, str, list, tuple, Mapping))
        fits = isinstance(value, hint) or not plain
    else:
        fits = True
    if not fits:
        raise Unfit
    return value


def _number(value: Any, *, whole: bool, limits: Range) -> int | float:
    if not is_number(value):
        raise Unfit
    number = float(value)  # integers too: one that is too large for a float can't be used
    if whole:
        found: int | float = value if isinstance(value, int) else int(value)
    else:
        small = isinstance(value, int) and abs(value) < _LARGEST_EXACT
        found = value if small or isinstance(value, float) else number
    if number != number or (whole and found != value) or number not in limits:
        raise Unfit
    return found


def _list(value: Any, hint: Any, limits: Range) -> Any:
    """Return a list or tuple of as many entries as `hint` declares; an array becomes a list."""
    if getattr(value, "ndim", None) == 1:
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise Unfit
    kinds = typing.get_args(hint)
    pair = typing.get_origin(hint) is tuple and kinds[-1:] != (...,)
    if len(value) > limits.longest or (pair and len(value) != len(kinds)):
        raise Unfit
    if limits.filled and not len(value):
        raise Unfit
    kinds = kinds if pair else kinds[:1] * len(value)
    found = [fitted(one, kind, limits) for one, kind in zip(value, kinds)]
    if isinstance(value, (list, tuple)) and all(a is b for a, b in zip(found, value)):
        return value
    return tuple(found) if isinstance(value, tuple) else found


def _is_list(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def is_number(value: Any) -> bool:
    """Whether `value` is a number, including numpy scalars and zero-dimensional tensors."""
    if _is_bool(value) or isinstance(value, (str, bytes)):
        return False
    return hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0


def _described(hint: Any, limits: Range) -> str:
    """Describe what `hint` accepts, for a message."""
    names = {types.NoneType: "None", bool: "true or false", str: "text"}
    if hint in names:
        return names[hint]
    if hint is int or hint is float:
        return f"a {'whole ' if hint is int else ''}number{limits}"
    if _is_list(hint):
        inner = typing.get_args(hint)[:1]
        of = " or ".join(_described(one, limits) for kind in inner for one in _alternatives(kind))
        most = f" of at most {limits.longest} entries" if limits.longest < _LONGEST else ""
        return f"a list{most}{' that is not empty' if limits.filled else ''}, each entry {of}"
    return f"an object such as a {getattr(hint, '__name__', shown(hint))}"
