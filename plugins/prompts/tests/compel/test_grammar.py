"""Elements of a prompt and their weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import ArgumentError
from autopipe_prompts.compel.operators import parts_of


def weights(text: str) -> list[tuple[str, float]]:
    (part,) = parts_of(text)
    (prompt,) = part.prompts
    return [(one.text, pytest.approx(one.weight)) for one in prompt]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", [("plain words", 1)]),
        ("", [("", 1)]),
        ("a cat++ b", [("a", 1), ("cat", 1.1**2), ("b", 1)]),
        ("cat--", [("cat", 0.9**2)]),
        ("(a cat)1.3", [("a cat", 1.3)]),
        ("(a cat)0", [("a cat", 0)]),
        ("(a cat).5", [("a cat", 0.5)]),
        ("(a cat)-", [("a cat", 0.9)]),
        ('"a cat"+', [("a cat", 1.1)]),
        ("(a (cat)1.5 b)2", [("a", 2), ("cat", 3), ("b", 2)]),
        ("cat.attend(1.2)", [("cat", 1.2)]),
        ("(a cat).attend(--)", [("a cat", 0.9**2)]),
        # A hyphen inside a word is none, and a sign after a space either.
        ("well-known", [("well-known", 1)]),
        ("a ++ b", [("a ++ b", 1)]),
        ("(a cat) 1.3", [("a cat 1.3", 1)]),
        ("cat1.3", [("cat1.3", 1)]),
        (r"\(cat\)", [("(cat)", 1)]),
        # A comma ends a word.
        ("a,cat+", [("a,", 1), ("cat", 1.1)]),
        # What has no partner is text.
        ("(a cat", [("(a cat", 1)]),
        ("a) cat", [("a) cat", 1)]),
        ('"a cat', [('"a cat', 1)]),
        ("(a = b)+", [("(a = b)+", 1)]),
    ],
)
def test_weights(text: str, expected: list[tuple[str, float]]) -> None:
    assert weights(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a " + "b" + "+" * 500, "is not between -1000 and 1000"),
        ("a (b)" + "9" * 400, "weight inf at character 6"),
        ("((a)99)99", "weight 9801 at character 8"),
        ("(" * 200, "more than 100 deep at character 102"),
        ("a cat.swap(dog)", r"\.swap\(\) at character 6"),
        ("a withLora(ink, 0.7)", "withLora at character 3.*attach"),
    ],
)
def test_what_can_not_be_read_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=f"(?s){said}"):
        parts_of(text)


@given(st.text(alphabet='ab ()",.+-1\\', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parts = parts_of(text)
    except ArgumentError:
        return
    found = "".join(one.text for part in parts for prompt in part.prompts for one in prompt)
    if "b" not in text or "." not in text:  # Else the letters may be the name of an operator.
        assert found.count("a") == text.count("a")
