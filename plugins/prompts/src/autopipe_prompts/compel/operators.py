"""Prompts of several parts: `("one", "two").and()` and `("one", "two").blend(0.7, 0.3)`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from autopipe.errors import ArgumentError
from autopipe.wording import shown

from ..fragments import Fragment, checked, where
from .grammar import Elements, joined

_OPERATOR = re.compile(r"\s*\)\s*\.(and|add|blend)\s*\(([^()]*)\)")
_OPENING = re.compile(r"\s*\(")
_COMMA = re.compile(r"\s*,\s*")
_NUMBER = re.compile(r"-?[0-9]+|[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)")
_EMPTY = [Fragment("")]
_UNCHANGED = "no_normalize"


@dataclass(frozen=True)
class Part:
    """A part of a prompt, whose embeddings follow those of the part before.

    Attributes:
        prompts: what is blended; mostly one.
        shares: the share of each in the sum of their embeddings.
        weight: the weight of the part.
    """

    prompts: Sequence[Sequence[Fragment]]
    shares: Sequence[float] = (1.0,)
    weight: float = 1.0


def parts_of(text: str) -> list[Part]:
    """Return the parts of a prompt.

    Raises:
        ArgumentError: if an operator has a wrong number of weights, weights whose sum is 0, or text
            after it; or if the prompt can't be read otherwise.
    """
    # A comma ends a word, but only with white space after it.
    text = re.sub(r",(\S)", r", \1", text)
    elements = Elements(text)
    found = _operated(elements, text)
    if found is None:
        return [Part([joined(elements.prompt(0, len(text))) or _EMPTY])]
    prompts, match = found
    if text[match.end() :].strip():
        raise ArgumentError(
            f".{match[1]}() is for a whole prompt, but there is more at "
            f"{where(text, match.end())}; write it into one of the parts"
        )
    words = [one.strip() for one in match[2].split(",")] if match[2].strip() else []
    is_blend, place = match[1] == "blend", match.start(2)
    is_scaled = not (is_blend and words and words[-1] == _UNCHANGED)
    weights = [_weight(one, text, place) for one in (words if is_scaled else words[:-1])]
    if weights and len(weights) != len(prompts):
        raise ArgumentError(
            f".{match[1]}() at {where(text, place)} has {len(weights)} weights for {len(prompts)} "
            f"prompts; give one for each, or none"
        )
    weights = weights or [1.0] * len(prompts)
    if not is_blend:
        parts = [Part([one], weight=weight) for one, weight in zip(prompts, weights) if one]
        return parts or [Part([_EMPTY])]
    total = sum(weights) if is_scaled else 1.0
    if total == 0.0:
        raise ArgumentError(
            f"the weights of .blend() at {where(text, place)} add up to 0; change one, or end "
            f"with {_UNCHANGED}"
        )
    filled = [one or _EMPTY for one in prompts]
    return [Part(filled, [checked(one / total, text, place) for one in weights])]


def _operated(elements: Elements, text: str) -> tuple[list[list[Fragment]], re.Match[str]] | None:
    """Return the prompts of an operator, and what ends them; None if there is no operator."""
    opening = _OPENING.match(text)
    if opening is None:
        return None
    place, prompts = elements.skip(opening.end(), len(text)), []
    while True:
        found = elements.target(place, len(text)) or elements.quotation(place, len(text))
        if found is None:
            return None
        prompts.append(joined(found[0]))
        comma = _COMMA.match(text, found[1])
        if comma is None:
            match = _OPERATOR.match(text, found[1])
            return None if match is None else (prompts, match)
        place = comma.end()


def _weight(found: str, text: str, place: int) -> float:
    if not _NUMBER.fullmatch(found):
        raise ArgumentError(
            f"{shown(found)} at {where(text, place)} is not a weight; give numbers, and "
            f"{_UNCHANGED} last to use them as they are"
        )
    return checked(float(found), text, place)
