"""Tables and paragraphs stay inside the terminal, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.cli.text import paragraph, table

CELLS = st.text("abc ,-_:/.", max_size=60)


@given(
    rows=st.integers(1, 4).flatmap(
        lambda columns: st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=1)
    ),
    width=st.integers(40, 120),
)
def test_a_table_never_passes_its_width_and_loses_nothing(rows: list, width: int) -> None:
    text = table(rows, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    for row in rows:
        for cell in row:
            for letter in "abc":
                assert text.count(letter) >= cell.count(letter)


def test_columns_are_aligned_under_their_heads() -> None:
    assert table([("a", "1"), ("long", "2")], ("NAME", "N"), width=40) == (
        "NAME  N\na     1\nlong  2"
    )


def test_the_widest_column_wraps() -> None:
    assert table([("name", "some words that wrap")], width=22) == (
        "name  some words that\n      wrap"
    )


def test_no_rows_are_no_text() -> None:
    assert table([], ("NAME",)) == ""


def test_a_paragraph_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    text = paragraph("word " * 40, indent="    ", first="- ")
    assert all(len(line) <= 50 for line in text.splitlines())
    assert text.startswith("- word")
    assert text.splitlines()[1].startswith("    word")
