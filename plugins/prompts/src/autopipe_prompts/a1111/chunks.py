"""Divides the tokens of a prompt among chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..fragments import Fragment

BACKTRACKING = 20
"""The number of tokens after a comma that move to the next chunk rather than being divided."""


@dataclass
class Chunk:
    """A part of a prompt that the text encoder reads at once, without start and end.

    Attributes:
        ids: the tokens.
        weights: their weights.
    """

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def cut(self, place: int) -> Chunk:
        """Remove and return what is after the first `place` tokens."""
        rest = Chunk(self.ids[place:], self.weights[place:])
        del self.ids[place:], self.weights[place:]
        return rest


def chunks_of(
    sections: Sequence[Iterable[tuple[Sequence[int], Fragment]]],
    room: int,
    comma: int | None,
    backtracking: int = BACKTRACKING,
) -> list[Chunk]:
    """Return the chunks of a prompt.

    If a chunk is full, and its last comma is at most `backtracking` tokens from its end, what
    follows the comma moves to the next chunk.

    Args:
        sections: the fragments between `BREAK`s with their tokens; each section begins a chunk.
        room: the most tokens of a chunk.
        comma: the token of a comma, if there is one.
    """
    chunks: list[Chunk] = []
    for section in sections:
        chunks.append(Chunk())
        last_comma: int | None = None
        for ids, fragment in section:
            for token in ids:
                chunk = chunks[-1]
                if token == comma:
                    last_comma = len(chunk.ids)
                if len(chunk.ids) == room:
                    is_near = last_comma is not None and room - last_comma <= backtracking
                    kept = room if last_comma is None or not is_near else last_comma + 1
                    chunk = chunk.cut(kept)
                    chunks.append(chunk)
                    last_comma = None
                chunk.ids.append(token)
                chunk.weights.append(fragment.weight)
    if len(chunks) > 1 and not chunks[-1].ids:
        del chunks[-1]
    return chunks
