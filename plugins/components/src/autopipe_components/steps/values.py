"""Checks the type and range of single arguments."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.values import check_dense
from autopipe.wording import shown

LARGEST = 10**6
"""The largest image side in pixels, number of steps, and number of images per prompt."""


def check_number(name: str, value: Any) -> None:
    """Check that `value` is a real number, and not a bool."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentTypeError(f"{name} is a {type(value).__name__}; give a number")


def check_whole(name: str, value: Any) -> None:
    """Check that `value` is a whole number, and not a bool."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentTypeError(f"{name} is a {type(value).__name__}; give a whole number")


def check_tensor(name: str, value: Any) -> None:
    """Check that `value` is a dense tensor of real numbers, or None."""
    if value is None:
        return
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{name} is a {type(value).__name__}; give a torch.Tensor")
    check_dense(name, value)


def check_text(name: str, text: Any) -> None:
    """Check that `text` is a text, a list of texts, or None."""
    if text is None or isinstance(text, str):
        return
    if not isinstance(text, list) or not all(isinstance(one, str) for one in text):
        raise ArgumentTypeError(
            f"{name} is a {_described(text)}; give a text or a list of texts (str or list of str)"
        )
    if not text:
        raise ArgumentError(f"{name} is an empty list; give at least one text")


def _described(value: Any) -> str:
    name = type(value).__name__
    if isinstance(value, list):
        return f"list of {', '.join(sorted({type(one).__name__ for one in value}))}"
    return name


def check_at_least_one(name: str, value: Any) -> None:
    """Check that `value` is a whole number from 1 to a million."""
    check_whole(name, value)
    if not 1 <= value <= LARGEST:
        raise ArgumentError(f"{name} is {shown(value)}; give 1 or more, and at most {LARGEST}")
