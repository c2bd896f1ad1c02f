"""Weights in round and square brackets: `(word)`, `(word:1.3)`, `[word]`, and `BREAK`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autopipe.errors import ArgumentError
from autopipe.wording import shown

from ..fragments import Fragment, check_depth, checked, where

ROUND = 1.1
"""The weight of round brackets; square ones divide by it."""

_PIECE = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)|(?P<open>[(\[])|:\s*(?P<weight>[+-]?[.\d]+)\s*\)|(?P<close>[)\]])"
    r"|[^\\()\[\]:]+|:"
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_BREAK = re.compile(r"\b(BREAK)\b")
_FILE = re.compile(r"<(?:lora|lyco|hypernet):([^<>:]*)[^<>]*>")


@dataclass
class _Piece:
    """Text with the weight of the brackets that are closed so far; without text, a `BREAK`."""

    text: str | None
    weight: float = 1.0


def sections_of(text: str) -> list[list[Fragment]]:
    """Return the fragments of a prompt, divided at each `BREAK`.

    A round bracket ends at the next round one, a square one at the next square one. What opens and
    isn't closed ends with the prompt; what closes nothing is text, and so is what follows a
    backslash.

    Raises:
        ArgumentError: if brackets are nested too deeply, a weight is not a number or too large, or
            there is a tag for a file, such as `<lora:name:1>`.
    """
    _check_files(text)
    pieces: list[_Piece] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def close(kind: str, weight: float, place: int) -> None:
        for piece in pieces[opened[kind].pop() :]:
            piece.weight = checked(piece.weight * weight, text, place)

    for match in _PIECE.finditer(text):
        found, place = match[0], match.start()
        weight, closing = match["weight"], {")": "(", "]": "["}.get(match["close"] or "")
        if match["escaped"] is not None:
            pieces.append(_Piece(match["escaped"]))
        elif match["open"]:
            opened[found].append(len(pieces))
            check_depth(len(opened["("]) + len(opened["["]), text, place)
        elif weight is not None and opened["("]:
            close("(", _number(weight, text, place), place)
        elif closing and opened[closing]:
            close(closing, ROUND if closing == "(" else 1 / ROUND, place)
        else:
            parts = _BREAK.split(found)
            pieces += [_Piece(None if i % 2 else part) for i, part in enumerate(parts)]
    for kind, weight in (("(", ROUND), ("[", 1 / ROUND)):
        while opened[kind]:
            close(kind, weight, len(text) - 1)
    return _divided(pieces)


def _divided(pieces: list[_Piece]) -> list[list[Fragment]]:
    """Return fragments by section; neighbours of equal weight are joined."""
    sections: list[list[tuple[list[str], float]]] = [[]]
    for piece in pieces:
        if piece.text is None:
            sections.append([])
        elif piece.text:
            section = sections[-1]
            if section and section[-1][1] == piece.weight:
                section[-1][0].append(piece.text)
            else:
                section.append(([piece.text], piece.weight))
    return [[Fragment("".join(texts), weight) for texts, weight in one] for one in sections]


def _number(found: str, text: str, place: int) -> float:
    if not _NUMBER.fullmatch(found):
        raise ArgumentError(
            f"the weight {shown(found)} at {where(text, place)} is not a number; write (word:1.3)"
        )
    return float(found)


def _check_files(text: str) -> None:
    found = _FILE.search(text)
    if found:
        name = found[1] or "NAME"
        raise ArgumentError(
            f"{shown(found[0])} at {where(text, found.start())} asks for a file, which a prompt "
            f"can't load; attach it once, as by pipe.attach('lora', FILE, name={shown(name)}), and "
            f"leave the tag out. The weight is that of pipe.set_attachments or of adapters= in the "
            f"call"
        )
