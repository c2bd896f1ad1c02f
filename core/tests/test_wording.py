"""Text from elsewhere is escaped and cut before anybody reads it."""

from __future__ import annotations

import sys
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import AutopipeError, CheckpointError
from autopipe.wording import clean, cut, error_summary, listed, shown

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()))


def acts(one: str) -> bool:
    """Whether a terminal or an encoder does something with `one` other than to show it."""
    directions = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return (
        unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(one) in directions
    )


def test_every_character_that_acts_is_escaped_and_no_letter_is() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [one for one in every if acts(one) and clean(one, keep="") == one] == []
    assert [
        one for one in every if unicodedata.category(one)[0] in "LNPS" and clean(one) != one
    ] == []


@given(ANYTHING)
def test_an_error_shows_any_text_on_any_terminal(text: str) -> None:
    told = str(CheckpointError(f"no file {text}"))
    told.encode("utf-8")
    assert not any(acts(one) for one in told if one != "\n")


@given(ANYTHING, st.integers(10, 200))
def test_a_value_is_one_short_line(text: str, most: int) -> None:
    for value in (text, [text] * 50, {text: text}, text.encode("utf-8", "surrogatepass")):
        told = shown(value, most)
        assert len(told) <= most
        assert not any(acts(one) for one in told)


def test_what_is_short_and_plain_stays_as_it_is() -> None:
    assert str(AutopipeError("two\nlines, \u00e9 and \u6f22")) == "two\nlines, \u00e9 and \u6f22"
    assert cut("abc", 3) == "abc"
    assert shown("a b") == "'a b'"
    assert listed(["a", "b"]) == "a, b"


def test_an_integer_that_python_does_not_write_is_named() -> None:
    assert shown(10**5000) == "a very large int"
    assert shown([10**5000]) == "a very large list"


def test_what_is_long_keeps_both_ends() -> None:
    assert cut("a" * 50 + "z" * 50, 20).startswith("aaaa")
    assert cut("a" * 50 + "z" * 50, 20).endswith("zzz")
    assert listed(map(str, range(12)), 3) == "0, 1, 2 and 9 more"
    assert len(str(AutopipeError("x" * 10**6))) < 5000


def test_a_value_that_can_not_be_shown_is_told_by_its_class() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    assert "Broken" in shown(Broken())


def test_a_tensor_is_told_by_its_shape() -> None:
    assert shown(torch.zeros(2, 3)) == "a tensor of shape (2, 3)"


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("it is wrong. You can still load it"), "ValueError: it is wrong"),
        (ValueError("it is wrong:\n  a number\nand more"), "ValueError: it is wrong: a number"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError"),
        (Mute(), "Mute"),
    ],
)
def test_an_exception_is_told_by_its_class_and_first_sentence(
    error: BaseException, expected: str
) -> None:
    assert error_summary(error) == expected


def test_an_exception_of_any_length_is_told_briefly() -> None:
    assert len(error_summary(ValueError("x" * 10**6))) < 200
