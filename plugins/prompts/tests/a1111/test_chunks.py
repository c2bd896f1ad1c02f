"""Chunks: where a prompt is divided."""

from __future__ import annotations

import pytest

from autopipe_prompts.a1111.chunks import chunks_of
from autopipe_prompts.fragments import Fragment

COMMA = 0


def divided(*sections: list[int], backtracking: int = 3) -> list[list[int]]:
    given = [[(ids, Fragment("", 1.0))] for ids in sections]
    return [chunk.ids for chunk in chunks_of(given, 5, COMMA, backtracking)]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], [[]]),
        ([1, 2], [[1, 2]]),
        ([1, 2, 3, 4, 5], [[1, 2, 3, 4, 5]]),
        ([1, 2, 3, 4, 5, 6], [[1, 2, 3, 4, 5], [6]]),
        # What follows a near comma moves on, as long as it is at most 3 tokens from the end.
        ([1, 2, COMMA, 4, 5, 6], [[1, 2, COMMA], [4, 5, 6]]),
        ([1, COMMA, 3, 4, 5, 6], [[1, COMMA, 3, 4, 5], [6]]),
        ([1, 2, 3, 4, COMMA, 6], [[1, 2, 3, 4, COMMA], [6]]),
        # A comma that doesn't fit begins the next chunk, and doesn't count as its last comma.
        ([1, 2, COMMA, 4, 5, COMMA, 7], [[1, 2, COMMA, 4, 5], [COMMA, 7]]),
        ([1, 2, 3, 4, 5, COMMA, 7, 8, 9, 10, 11], [[1, 2, 3, 4, 5], [COMMA, 7, 8, 9, 10], [11]]),
        # The last comma counts.
        ([1, COMMA, COMMA, 4, 5, 6], [[1, COMMA, COMMA], [4, 5, 6]]),
    ],
)
def test_a_full_chunk_ends_after_a_near_comma(ids: list[int], expected: list[list[int]]) -> None:
    assert divided(ids) == expected


def test_commas_don_t_matter_without_backtracking() -> None:
    assert divided([1, 2, COMMA, 4, 5, 6], backtracking=0) == [[1, 2, COMMA, 4, 5], [6]]


def test_a_break_begins_a_chunk() -> None:
    assert divided([1], [2, 3], [], [4]) == [[1], [2, 3], [], [4]]
    # Nothing is left to encode after the last one.
    assert divided([1], []) == [[1]]
    assert divided([], [1]) == [[], [1]]


def test_weights_stay_with_their_tokens() -> None:
    given = [[([1, COMMA, 2], Fragment("", 2.0)), ([3, 4, 5], Fragment("", 3.0))]]
    found = chunks_of(given, 5, COMMA, 4)
    assert [chunk.ids for chunk in found] == [[1, COMMA], [2, 3, 4, 5]]
    assert [chunk.weights for chunk in found] == [[2, 2], [2, 3, 3, 3]]
