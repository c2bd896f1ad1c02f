"""Sweeps: the values that arguments take in turn, in all combinations."""

from __future__ import annotations

import argparse
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.wording import shown
from autopipe_requests.inputs import Text

from .jobs import MOST_JOBS, json_value

_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})")


@dataclass(frozen=True)
class Sweep:
    """The values of an argument.

    Attributes:
        name: the name of the argument.
        values: its values, each once.
    """

    name: str
    values: tuple[Any, ...]


def sweep(text: str) -> Sweep:
    """Read `NAME=V1,V2,...`, `NAME=[V1, V2]` with a JSON list, or `NAME=FIRST..LAST`.

    Raises:
        argparse.ArgumentTypeError: if it is none of them.
    """
    name, sign, rest = text.partition("=")
    name = name.strip().replace("-", "_")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a sweep; write NAME=V1,V2,...")
    values = tuple(_values(text, rest.strip()))
    if len({repr(one) for one in values}) < len(values):
        raise argparse.ArgumentTypeError(f"{shown(text)} has a value twice")
    return Sweep(name, values)


def _values(whole: str, text: str) -> Iterator[Any]:
    bounds = _RANGE.fullmatch(text)
    if bounds:
        first, last = int(bounds[1]), int(bounds[2])
        if abs(last - first) >= MOST_JOBS:
            raise argparse.ArgumentTypeError(f"{shown(whole)} has more than {MOST_JOBS:,} values")
        yield from range(first, last + 1) if first <= last else range(first, last - 1, -1)
    elif text.startswith("["):
        try:
            found = json_value(text)
        except (ValueError, RecursionError) as error:
            raise argparse.ArgumentTypeError(
                f"{shown(whole)} has no valid list in JSON: {error}"
            ) from None
        if not found:
            raise argparse.ArgumentTypeError(f"{shown(whole)} has no values")
        yield from found
    else:
        parts = [one.strip() for one in text.split(",")]
        if not all(parts):
            raise argparse.ArgumentTypeError(
                f"{shown(whole)} has an empty value; write NAME=V1,V2,..."
            )
        yield from map(Text, parts)


def combinations(sweeps: Sequence[Sweep], jobs: int = 1) -> list[dict[str, Any]]:
    """Return all combinations of values by name; the last sweep changes fastest.

    Args:
        jobs: the number of jobs with which each combination is drawn.

    Raises:
        ArgumentError: if a name is swept twice, or the result would be more than `MOST_JOBS`.
    """
    names = [one.name for one in sweeps]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(f"{shown(twice)} is swept twice; give all its values at once")
    count = math.prod(len(one.values) for one in sweeps) * jobs
    if count > MOST_JOBS:
        raise ArgumentError(
            f"{count:,} jobs are more than {MOST_JOBS:,}; give fewer jobs, or fewer values of a "
            f"sweep"
        )
    return [dict(zip(names, one)) for one in itertools.product(*(s.values for s in sweeps))]
