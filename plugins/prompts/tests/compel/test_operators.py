"""Prompts of several parts."""

from __future__ import annotations

from typing import Any

import pytest

from autopipe.errors import ArgumentError
from autopipe_prompts.compel.operators import parts_of


def read(text: str) -> list[tuple[list[Any], list[float], float]]:
    return [
        (
            [[(one.text, round(one.weight, 6)) for one in prompt] for prompt in part.prompts],
            [round(one, 6) for one in part.shares],
            part.weight,
        )
        for part in parts_of(text)
    ]


def test_and_has_a_part_for_each_prompt() -> None:
    assert read('("a cat+", "a dog").and()') == [
        ([[("a", 1), ("cat", 1.1)]], [1], 1),
        ([[("a dog", 1)]], [1], 1),
    ]
    assert [weight for *_, weight in read("(cat, dog).and(1, 0.5)")] == [1, 0.5]
    assert read("(cat, dog).add()") == read("(cat, dog).and()")


def test_blend_has_one_part_with_shares_that_add_up_to_1() -> None:
    prompts = [[("a cat", 1)], [("a dog", 1)]]
    assert read('("a cat", "a dog").blend(3, 1)') == [(prompts, [0.75, 0.25], 1)]
    assert read('("a cat", "a dog").blend()') == [(prompts, [0.5, 0.5], 1)]
    assert read('("a cat", "a dog").blend(3, -1, no_normalize)') == [(prompts, [3, -1], 1)]


def test_what_is_no_operator_is_text() -> None:
    assert read("(a cat).and") == [([[("a cat .and", 1)]], [1], 1)]
    assert read('("a" "b").and()') == [([[("a b .and()", 1)]], [1], 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('("a", "b").blend(1)', "1 weights for 2 prompts"),
        ('("a", "b").and(1, 2, 3)', "3 weights for 2 prompts"),
        ('("a", "b").blend(1, -1)', "add up to 0"),
        ('("a", "b").and(1, x)', "'x' at character 16 .* is not a weight"),
        ('("a", "b").and(no_normalize, 1)', "'no_normalize' at"),
        ('("a", "b").and() c', "there is more at character 17"),
        ('("a", "b").blend(1, 1) c', "there is more at character 23"),
        ('("a", "b").and(1, 2000)', "is not between"),
    ],
)
def test_wrong_weights_are_told_with_their_place(text: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=f"(?s){said}"):
        parts_of(text)
