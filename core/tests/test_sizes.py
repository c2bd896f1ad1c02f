"""Sizes, read and written."""

from __future__ import annotations

import pytest

from autopipe.errors import ArgumentError
from autopipe.sizes import parse_size, size_text


@pytest.mark.parametrize(
    ("size", "expected"),
    [(5, 5), ("7", 7), ("5KB", 5000), ("1.5 MB", 1_500_000), ("2GiB", 2 * 2**30), ("1gb", 10**9)],
)
def test_sizes(size: int | str, expected: int) -> None:
    assert parse_size(size) == expected


@pytest.mark.parametrize("size", [0, -1, "", "big", "5XB", True, "-3GB"])
def test_what_is_no_size(size: int | str) -> None:
    with pytest.raises(ArgumentError, match="max_shard_size"):
        parse_size(size)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (999_600, "1 MB"), (3_438_000_000, "3.44 GB")],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert size_text(count) == text
