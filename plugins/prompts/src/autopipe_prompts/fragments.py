"""Parts of a prompt with one weight, and what both grammars refuse."""

from __future__ import annotations

from dataclasses import dataclass

from autopipe.errors import ArgumentError
from autopipe.wording import shown

LONGEST = 100_000
"""The most characters of a prompt."""

DEEPEST = 100
"""The most brackets around a word."""

LARGEST = 1000.0
"""The largest weight; embeddings stay finite in half precision."""


@dataclass(frozen=True)
class Fragment:
    """A part of a prompt.

    Attributes:
        text: the text, without syntax.
        weight: its weight; 1 changes nothing.
    """

    text: str
    weight: float = 1.0


def check_length(text: str) -> None:
    """Raise `ArgumentError` if a prompt is too long to be parsed."""
    if len(text) > LONGEST:
        raise ArgumentError(
            f"the prompt has {len(text)} characters; a prompt with weights may have {LONGEST}"
        )


def check_depth(depth: int, text: str, place: int) -> None:
    """Raise `ArgumentError` if brackets are nested too deeply at the index `place`."""
    if depth > DEEPEST:
        raise ArgumentError(f"brackets are nested more than {DEEPEST} deep at {where(text, place)}")


def checked(weight: float, text: str, place: int) -> float:
    """Return a weight; raise `ArgumentError` if it is too large."""
    if not abs(weight) <= LARGEST:
        raise ArgumentError(
            f"the weight {weight:g} at {where(text, place)} is not between {-LARGEST:g} and "
            f"{LARGEST:g}"
        )
    return weight


def where(text: str, place: int) -> str:
    """Return how messages name the character at an index of a prompt."""
    return f"character {place + 1} of the prompt ({shown(text[place : place + 20])})"


def scaled(weight: float, strength: float) -> float:
    """Return a weight whose distance from 1 is multiplied by the strength of the add-on."""
    return 1.0 + strength * (weight - 1.0) if strength != 1.0 else weight
