"""Prompts whose predictions are combined: `a cat AND a dog:1.2`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..fragments import checked

_AND = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")


@dataclass(frozen=True)
class Part:
    """A part of a prompt, with the weight of its prediction."""

    text: str
    weight: float = 1.0


def parts_of(text: str) -> list[Part]:
    """Return the parts of a prompt between `AND`s.

    A number after the last colon of a part is its weight. A prompt without `AND` has no weight.

    Raises:
        ArgumentError: if a weight is too large.
    """
    pieces = _AND.split(text)
    if len(pieces) == 1:
        return [Part(text)]
    parts, place = [], 0
    for piece in pieces:
        before, colon, number = piece.rpartition(":")
        if colon and _NUMBER.fullmatch(number.strip()):
            weight = checked(float(number), text, place + len(before))
            parts.append(Part(before, weight))
        else:
            parts.append(Part(piece))
        place += len(piece) + len("AND")
    return parts
