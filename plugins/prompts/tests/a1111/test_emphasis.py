"""Weights of brackets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import ArgumentError
from autopipe_prompts.a1111.emphasis import sections_of


def weights(text: str) -> list[tuple[str, float]]:
    (section,) = sections_of(text)
    return [(one.text, pytest.approx(one.weight)) for one in section]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", [("plain words", 1)]),
        ("a (cat) b", [("a ", 1), ("cat", 1.1), (" b", 1)]),
        ("((cat))", [("cat", 1.1**2)]),
        ("(cat:1.3)", [("cat", 1.3)]),
        ("(cat : 0.5 )", [("cat ", 0.5)]),
        ("(cat:-1)", [("cat", -1)]),
        ("(cat:.5)", [("cat", 0.5)]),
        ("[cat]", [("cat", 1 / 1.1)]),
        ("[[cat]]", [("cat", 1.1**-2)]),
        ("(a [b] c:2)", [("a ", 2), ("b", 2 / 1.1), (" c", 2)]),
        ("(a (b:1.5):2)", [("a ", 2), ("b", 3)]),
        (r"\(a\) \[b\] \\", [(r"(a) [b] \\"[:-1], 1)]),
        ("(never closed", [("never closed", 1.1)]),
        ("[never (closed", [("never ", 1 / 1.1), ("closed", 1)]),
        ("closes) nothing]", [("closes) nothing]", 1)]),
        ("a:1.3) b", [("a:1.3) b", 1)]),
        ("a: b", [("a: b", 1)]),
        ("", []),
        # Round and square brackets are told apart: each ends at the next of its kind.
        ("(a [b) c]", [("a ", 1.1), ("b", 1), (" c", 1 / 1.1)]),
        # An exponent is no number of this grammar, so this is text in brackets.
        ("(a:1e5)", [("a:1e5", 1.1)]),
        ("(a:nan)", [("a:nan", 1.1)]),
    ],
)
def test_brackets_multiply(text: str, expected: list[tuple[str, float]]) -> None:
    assert weights(text) == expected


def test_a_break_divides_wherever_it_stands() -> None:
    found = sections_of("a BREAK (b BREAK c:2) BREAKS")
    # White space between them has no tokens.
    seen = [[(one.text.strip(), one.weight) for one in own if one.text.strip()] for own in found]
    assert seen == [
        [("a", 1)],
        [("b", 2)],
        [("c", 2), ("BREAKS", 1)],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a (b:1.2.3)", r"'1\.2\.3' at character 5"),
        ("a (b:" + "9" * 400 + ")", "weight inf at character 5"),
        ("(a:2000)", "2000 at character 3"),
        ("(" * 80 + "a" + ")" * 80, "is not between -1000 and 1000"),
        ("x" + "(" * 101, "more than 100 deep at character 102"),
        ("a <lora:ink:0.7> b", r"'<lora:ink:0\.7>' at character 3.*attach.*'ink'.*adapters="),
        ("<lora:ink>", "'<lora:ink>' at character 1"),
        ("<hypernet:x:1>", "asks for a file"),
    ],
)
def test_what_can_not_be_read_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=f"(?s){said}"):
        sections_of(text)


@given(st.text(alphabet="ab ()[]:1.\\", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = sections_of(text)
    except ArgumentError:
        return
    # Nothing is lost but brackets, weights and backslashes.
    letters = "".join(one.text for section in found for one in section)
    assert [one for one in letters if one in "ab"] == [one for one in text if one in "ab"]
