"""Chunks: where a prompt is divided, and what is hidden with a phrase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from autopipe_prompts.compel.chunks import chunks_of, first_chunk_of

NAMES = {0: ".</w>", 1: ",</w>", 2: "word</w>", 3: "part"}


def names(ids: Sequence[int]) -> list[str]:
    return [NAMES[one] for one in ids]


def divided(*fragments: list[int], size: int = 6) -> list[list[int]]:
    return [list(one.ids) for one in chunks_of(fragments, size, names)]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], [[]]),
        ([2, 2, 2, 2], [[2, 2, 2, 2]]),
        # After a sentence, else after a phrase, else after a word, else anywhere.
        ([2, 0, 1, 2, 2], [[2, 0], [1, 2, 2]]),
        ([2, 1, 2, 2, 2], [[2, 1], [2, 2, 2]]),
        ([2, 2, 2, 3, 3], [[2, 2, 2], [3, 3]]),
        ([3, 3, 3, 3, 3], [[3, 3, 3, 3], [3]]),
        # The last chunk is not divided further.
        ([2, 0, 2, 0, 2, 2], [[2, 0, 2, 0], [2, 2]]),
    ],
)
def test_chunks_end_where_something_ends(ids: list[int], expected: list[list[int]]) -> None:
    assert divided(ids) == expected


def places(chunk: Any) -> dict[int, list[int]]:
    return {owner: list(found) for owner, found in chunk.places.items()}


def test_places_of_fragments_count_the_token_for_the_start() -> None:
    (chunk,) = chunks_of([[2], [3, 2], [2]], 6, names)
    assert places(chunk) == {0: [1], 1: [2, 3], 2: [4]}


def test_what_is_between_two_parts_of_a_fragment_is_hidden_with_it() -> None:
    # The first chunk ends after its second token: its end and its padding are in between.
    one, two = chunks_of([[2], [0, 2, 2], [2]], 6, names)
    assert (list(one.ids), list(two.ids)) == ([2, 0], [2, 2, 2])
    assert places(one) == {0: [1], 1: [2, 3, 4]}
    assert places(two) == {1: [1, 2], 2: [3]}


def test_the_end_is_hidden_with_a_fragment_that_is_cut_off() -> None:
    cut = first_chunk_of([[2, 2], [2, 2, 2], [2]], 6)
    assert places(cut) == {0: [1, 2], 1: [3, 4, 5]}
    whole = first_chunk_of([[2, 2], [2, 2], [2]], 6)
    assert places(whole) == {0: [1, 2], 1: [3, 4]}
    assert list(whole.ids) == list(cut.ids) == [2, 2, 2, 2]
