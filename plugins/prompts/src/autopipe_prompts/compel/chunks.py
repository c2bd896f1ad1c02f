"""Divides the tokens of a prompt among chunks, at the ends of sentences, phrases or words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_ENDS: tuple[Callable[[str], bool], ...] = (
    lambda token: token == ".</w>",
    lambda token: token in (".</w>", ",</w>", ";</w>", ":</w>"),
    lambda token: token.endswith("</w>"),
)
"""Where chunks may end: after a sentence, else a phrase, else a word."""


@dataclass(frozen=True)
class Chunk:
    """A part of a prompt that the text encoder reads at once, without start and end.

    Attributes:
        ids: the tokens.
        owners: for each token the index of its fragment.
        places: by the index of a fragment that has tokens here, the positions to hide so that the
            chunk lacks it. The token for the start has the position 0.
    """

    ids: Sequence[int]
    owners: Sequence[int]
    places: Mapping[int, range]


def chunks_of(
    fragments: Sequence[Sequence[int]], size: int, names: Callable[[Sequence[int]], list[str]]
) -> list[Chunk]:
    """Return the chunks of a prompt. What is between two parts of a fragment is hidden with it.

    Args:
        fragments: the tokens of each fragment.
        size: the tokens of a chunk, including start and end.
        names: returns the names of tokens, which tell where words end.
    """
    ids = [one for fragment in fragments for one in fragment]
    owners = [i for i, fragment in enumerate(fragments) for _ in fragment]
    last = {owner: place for place, owner in enumerate(owners)}
    chunks: list[Chunk] = []
    start = 0
    while start < len(ids) or not chunks:
        end = start + size - 2
        if end < len(ids):
            end = start + _kept(names(ids[start:end]))
        own = owners[start:end]
        places = {
            owner: range(
                1 if start and owners[start - 1] == owner else own.index(owner) + 1,
                size - 1 if last[owner] >= end else last[owner] - start + 2,
            )
            for owner in dict.fromkeys(own)
        }
        chunks.append(Chunk(ids[start:end], own, places))
        start = end
    return chunks


def first_chunk_of(fragments: Sequence[Sequence[int]], size: int) -> Chunk:
    """Return the only chunk of a prompt that is cut off.

    With the fragment that is cut off, the token for the end is hidden, too.
    """
    ids = [one for fragment in fragments for one in fragment]
    (chunk, *rest) = chunks_of(fragments, size, lambda ids: [""] * len(ids))
    if rest and rest[0].owners[0] == chunk.owners[-1]:
        owner = chunk.owners[-1]
        whole = range(chunk.places[owner].start, size)
        chunk = Chunk(ids[: size - 2], chunk.owners, {**chunk.places, owner: whole})
    return chunk


def _kept(names: Sequence[str]) -> int:
    """Return how many of the tokens a chunk keeps."""
    for ends in _ENDS:
        for place in range(len(names) - 1, -1, -1):
            if ends(names[place]):
                return place + 1
    return len(names)
