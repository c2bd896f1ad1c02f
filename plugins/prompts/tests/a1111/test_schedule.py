"""Prompts that change from step to step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import ArgumentError
from autopipe_prompts.a1111.schedule import changes, text_at, tree_of


def texts(text: str, steps: int = 4) -> list[str]:
    tree = tree_of(text)
    return [text_at(tree, step, steps) for step in range(steps)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [cat:dog:0.5] b", ["a cat b", "a cat b", "a dog b", "a dog b"]),
        ("a [cat:dog:1] b", ["a cat b", "a dog b", "a dog b", "a dog b"]),
        ("a [cat:dog:1.0] b", ["a cat b"] * 4),
        ("[cat:dog:0]", ["dog"] * 4),
        ("[cat:dog:9]", ["cat"] * 4),
        ("[dog: 3 ]", ["", "", "", "dog"]),
        ("[cat::2]", ["cat", "cat", "", ""]),
        ("[one|two]", ["one", "two", "one", "two"]),
        ("[a|b|c]", ["a", "b", "c", "a"]),
        ("[|b]", ["", "b", "", "b"]),
        ("[[a|b]:c:2]", ["a", "b", "c", "c"]),
        ("[a:[b|c]:1]", ["a", "c", "b", "c"]),
        ("[(a:1.2):(b:1.3):1]", ["(a:1.2)", "(b:1.3)", "(b:1.3)", "(b:1.3)"]),
        ("([a|b]:1.2)", ["(a:1.2)", "(b:1.2)"] * 2),
    ],
)
def test_texts_of_steps(text: str, expected: list[str]) -> None:
    assert changes(tree_of(text))
    assert texts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat",
        "[cat]",
        "[[cat]]",
        r"\[a|b\]",
        "a | b",
        "(a|b)",
        "[a:b]",
        "[a:b:c:1]",
        "a]",
        "[a",
        "[a (b]",
        "[a|b",
        "a: b",
    ],
)
def test_what_doesn_t_change_stays_as_it_is(text: str) -> None:
    assert not changes(tree_of(text))
    assert texts(text, 2) == [text, text]


def test_deep_brackets_are_refused_with_their_place() -> None:
    with pytest.raises(ArgumentError, match="100 deep at character 101"):
        tree_of("[" * 1000)


@given(st.text(alphabet="ab[]()|:1\\ ", max_size=40))
def test_any_text_is_read(text: str) -> None:
    tree = tree_of(text)
    if not changes(tree):
        assert text_at(tree, 0, 1) == text
