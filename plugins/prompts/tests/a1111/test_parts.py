"""Parts of a prompt between ANDs."""

from __future__ import annotations

import pytest

from autopipe.errors import ArgumentError
from autopipe_prompts.a1111.parts import parts_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", [("a cat", 1)]),
        ("a cat AND a dog", [("a cat", 1), ("a dog", 1)]),
        ("a cat AND a dog:1.2", [("a cat", 1), ("a dog", 1.2)]),
        ("a cat : -0.5 AND a dog", [("a cat", -0.5), ("a dog", 1)]),
        ("AND", [("", 1), ("", 1)]),
        ("(a:1.2) AND (b:1.3)", [("(a:1.2)", 1), ("(b:1.3)", 1)]),
        ("SAND and ANDY", [("SAND and ANDY", 1)]),
        # Without AND, a number after a colon is text.
        ("a clock at 12:30", [("a clock at 12:30", 1)]),
    ],
)
def test_parts_and_their_weights(text: str, expected: list[tuple[str, float]]) -> None:
    assert [(one.text.strip(), one.weight) for one in parts_of(text)] == expected


def test_a_weight_without_end_is_refused_with_its_place() -> None:
    with pytest.raises(ArgumentError, match="weight inf at character 8"):
        parts_of("a AND b:" + "9" * 400)
