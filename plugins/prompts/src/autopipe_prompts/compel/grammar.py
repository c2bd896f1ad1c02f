"""The grammar of compel: `word++`, `(a phrase)1.3`, `("one", "two").and()` and `.blend()`.

A prompt is a row of elements. An element is a word, or elements in round brackets or quotes, with a
weight right after it: signs, or a number after brackets and quotes. Where there is no element, such
as at a bracket without its partner, everything up to the next white space is text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from autopipe.errors import ArgumentError

from ..fragments import Fragment, check_depth, checked, where

UP, DOWN = 1.1, 0.9
"""The weight of one plus, and of one minus."""

_SPACE = re.compile(r"\s*", re.ASCII)
_FREE = re.compile(r"\S+", re.ASCII)
_QUOTED = re.compile(r'"(?:\\"|[^"\n\r])*"')
_WORD = re.compile(r'(?:\\[()",.+\-=]|[+-](?![\s()",.+\-=]|\Z)|[^\s()",.+\-=])+', re.ASCII)
_NUMBER = r"[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+"
_SIGNS = re.compile(r"\++|-+")
_WEIGHT = re.compile(rf"\++|-+|{_NUMBER}")
_ATTEND = re.compile(rf"\s*\.attend\s*\(\s*(?P<weight>\++|-+|{_NUMBER})\s*\)")
_REFUSED = re.compile(r"\s*\.(swap)\s*\(")
_FILE = re.compile(r"(useLora|withLora)\s*\(\s*([\w-]+)")
_ESCAPED = re.compile(r'(?<!\\)\\+([()"])')

Found: TypeAlias = tuple[list[Fragment], int]
"""The fragments of an element, and the index after it."""


class Elements:
    """Reads the elements of a text.

    Its methods raise `ArgumentError` if brackets are nested too deeply, a weight is too large, or
    the text asks for `.swap()` or a file.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._known: dict[tuple[int, int], Found | None] = {}
        self._depth = 0

    def skip(self, place: int, end: int) -> int:
        """Return the index after white space."""
        match = _SPACE.match(self.text, place, end)
        return match.end() if match else place

    def prompt(self, place: int, end: int) -> list[Fragment]:
        """Return the fragments of a whole prompt."""
        found: list[Fragment] = []
        while (place := self.skip(place, end)) < end:
            element = self._weighted(place, end) or self.group(place, end)
            if element is None:
                match = _FREE.match(self.text, place, end)
                assert match is not None
                element = [_fragment(match[0])], match.end()
            found += element[0]
            place = element[1]
        return found

    def target(self, place: int, end: int) -> Found | None:
        """Return what can have an operator: a group or a word."""
        found = self.group(place, end)
        if found is None:
            match = _WORD.match(self.text, place, end)
            found = match and ([_fragment(match[0])], match.end())
        return found

    def group(self, place: int, end: int) -> Found | None:
        """Return elements in brackets or quotes; None if there are none, or they can't be read."""
        if place >= end or self.text[place] not in '("':
            return None
        if (place, end) not in self._known:
            self._depth += 1
            check_depth(self._depth, self.text, place)
            is_quoted = self.text[place] == '"'
            self._known[place, end] = (self._quoted if is_quoted else self._bracketed)(place, end)
            self._depth -= 1
        return self._known[place, end]

    def _quoted(self, place: int, end: int) -> Found | None:
        match = _QUOTED.match(self.text, place, end)
        if match is None:
            return None
        found, stopped = self._inside(place + 1, match.end() - 1)
        return None if stopped < match.end() - 1 else (found or [Fragment("")], match.end())

    def quotation(self, place: int, end: int) -> Found | None:
        """Return a prompt in quotes, which is read like a whole one."""
        match = _QUOTED.match(self.text, place, end)
        return match and (self.prompt(place + 1, match.end() - 1), match.end())

    def _bracketed(self, place: int, end: int) -> Found | None:
        found, stopped = self._inside(place + 1, end)
        return None if self.text[stopped : min(stopped + 1, end)] != ")" else (found, stopped + 1)

    def _inside(self, place: int, end: int) -> Found:
        """Return the elements in brackets or quotes, up to the first that can't be read."""
        found: list[Fragment] = []
        while (place := self.skip(place, end)) < end:
            element = self._weighted(place, end) or self.target(place, end)
            if element is None and self.text[place] in ",.":
                element = [Fragment(self.text[place])], place + 1
            if element is None:
                break
            found += element[0]
            place = element[1]
        return found, place

    def _weighted(self, place: int, end: int) -> Found | None:
        """Return a target with its weight; None if it has none."""
        self._check_file(place, end)
        target = self.target(place, end)
        if target is None:
            return None
        found, after = target
        refused = _REFUSED.match(self.text, after, end)
        if refused:
            raise ArgumentError(
                f".{refused[1]}() at {where(self.text, refused.start(1) - 1)} exchanges words "
                f"within the attention of the network, which this add-on doesn't do; write the "
                f"words that you want"
            )
        explicit = _ATTEND.match(self.text, after, end)
        is_group = self.text[place] in '("'
        match = explicit or (_WEIGHT if is_group else _SIGNS).match(self.text, after, end)
        if match is None:
            return None
        weight = _weight(explicit["weight"] if explicit else match[0], self.text, after)
        return [_times(one, weight, self.text, after) for one in found], match.end()

    def _check_file(self, place: int, end: int) -> None:
        match = _FILE.match(self.text, place, end)
        if match:
            raise ArgumentError(
                f"{match[1]} at {where(self.text, place)} asks for a file, which a prompt can't "
                f"load; attach it once by pipe.attach('lora', FILE), and leave this out"
            )


def _weight(found: str, text: str, place: int) -> float:
    if found[0] in "+-":
        base = UP if found[0] == "+" else DOWN
        # Enough signs for any weight that is allowed; a float can't hold the power of many more.
        return checked(base ** min(len(found), 1000), text, place)
    return checked(float(found), text, place)


def _times(fragment: Fragment, weight: float, text: str, place: int) -> Fragment:
    return Fragment(fragment.text, checked(fragment.weight * weight, text, place))


def _fragment(text: str) -> Fragment:
    return Fragment(_ESCAPED.sub(r"\1", text))


def joined(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Return fragments in which neighbours of equal weight are one."""
    runs: list[tuple[list[str], float]] = []
    for one in fragments:
        if runs and runs[-1][1] == one.weight:
            runs[-1][0].append(one.text)
        else:
            runs.append(([one.text], one.weight))
    return [Fragment(" ".join(texts), weight) for texts, weight in runs]
