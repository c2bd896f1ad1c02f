"""Types of arguments: what argparse makes of text, and shows of what is wrong with it."""

from __future__ import annotations

import argparse
import math

from ..errors import ArgumentError
from ..sizes import parse_size

LARGEST_SEED = 2**63 - 1


def count(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1, 100_000)


def seed(text: str) -> int:
    """A whole number that a random generator takes."""
    return _whole(text, 0, LARGEST_SEED)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def budget(text: str) -> str:
    """`auto`, or a number of bytes such as `6GiB`."""
    if text != "auto":
        try:
            parse_size(text)
        except ArgumentError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no size; write it as 6GiB, or auto"
            ) from None
    return text


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels, from `512x768`, or `512` for a square."""
    width, cross, height = text.lower().partition("x")
    if not width.isdecimal() or not (height if cross else width).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 512x768 or 512")
    pixels = int(width), int(height if cross else width)
    if min(pixels) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is an empty picture")
    return pixels


def assignment(text: str) -> tuple[str, str]:
    """A name and a value, from `NAME=VALUE`."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} sets nothing; write it as NAME=VALUE")
    return name, value


def _whole(text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
    return value
