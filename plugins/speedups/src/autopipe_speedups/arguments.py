"""Checks of the arguments of add-ons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.values import number, numbers, whole
from autopipe.wording import shown


def whole_at_least(least: int, name: str, value: Any) -> int:
    """Return a whole number.

    Raises:
        ArgumentTypeError: if `value` is not a whole number.
        ArgumentError: if it is less than `least`.
    """
    found = whole(name, value)
    if found < least:
        raise ArgumentError(f"{name} is {shown(found)}; give {least} or more")
    return found


def whole_numbers(name: str, values: Any) -> frozenset[int]:
    """Return a set of whole numbers from 0.

    Raises:
        ArgumentTypeError: if `values` is not a collection of whole numbers.
        ArgumentError: if one of them is negative.
    """
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes)):
        raise ArgumentTypeError(f"{name} is {shown(values)}; give a list of whole numbers")
    return frozenset(whole_at_least(0, name, one) for one in values)


def ascending_pair(name: str, value: Any) -> tuple[float, float]:
    """Return two numbers, of which the first is less than the second.

    Raises:
        ArgumentTypeError: if `value` is not a pair of numbers.
        ArgumentError: if they are not finite, or not in this order.
    """
    found = numbers(name, value)
    if not isinstance(found, (list, tuple)) or len(found) != 2:
        raise ArgumentTypeError(f"{name} is {shown(value)}; give two numbers, such as (0.2, 0.8)")
    low, high = (number(name, one) for one in found)
    if not low < high:
        raise ArgumentError(f"{name} is {shown((low, high))}; the first number must be the smaller")
    return low, high
