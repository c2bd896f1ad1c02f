"""Argument types for argparse: they convert text, and explain what is wrong with it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

from ..errors import ArgumentError
from ..sizes import parse_size
from ..wording import shown

LARGEST_SIDE = 1 << 16
"""The largest side of an image in pixels; image files support no more."""

_Number = TypeVar("_Number", int, float)


def between(kind: type[_Number], least: float, most: float) -> Callable[[str], _Number]:
    """Return a function that reads numbers from `least` to `most`."""

    def read(text: str) -> _Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not math.isfinite(value):
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{shown(text)} is not {what}")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{shown(value)} is not between {least} and {most}")
        return value

    return read


count = between(int, 1, 100_000)
seed = between(int, 0, 2**63 - 1)
number = between(float, -math.inf, math.inf)
fraction = between(float, 0, 1)


def budget(text: str) -> str:
    """Read `auto`, or a size such as `6GiB`."""
    if text != "auto":
        _size_in(text, ", or auto")
    return text


def bytes_in(text: str) -> int:
    """Read a size in bytes from text such as `6GiB`."""
    return _size_in(text, "")


def _size_in(text: str, other: str) -> int:
    try:
        return parse_size(text)
    except (ArgumentError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a size; write 6GiB, for example{other}"
        ) from None


def size(text: str) -> tuple[int, int]:
    """Read width and height in pixels from `512x768`, or `512` for a square."""
    width, cross, height = text.lower().partition("x")
    if not width.isdecimal() or not (height if cross else width).isdecimal():
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a size; write 512x768 or 512")
    longest = max(len(width), len(height))
    pixels = (0, 0) if longest > 9 else (int(width), int(height if cross else width))
    if not 1 <= min(pixels) <= max(pixels) <= LARGEST_SIDE:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a size from 1 to {LARGEST_SIDE} pixels per side"
        )
    return pixels


def assignment(text: str) -> tuple[str, str]:
    """Read a name and a value from `NAME=VALUE`."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{shown(text)} is not an assignment; write NAME=VALUE")
    return name, value
