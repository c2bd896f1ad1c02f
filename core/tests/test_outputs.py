"""Outputs are read by attribute, by name and by position, empty fields left out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from autopipe.outputs import BaseOutput, ImagePipelineOutput


@dataclass
class Pair(BaseOutput):
    first: int
    second: int | None = None


def test_fields_by_attribute_name_and_position() -> None:
    pair = Pair(1, 2)
    assert (pair.first, pair["second"], pair[1], pair[:]) == (1, 2, 2, (1, 2))
    assert pair.to_tuple() == (1, 2)


def test_empty_fields_are_left_out() -> None:
    pair = Pair(1)
    assert pair.keys() == ["first"]
    assert (len(pair), "second" in pair, list(pair)) == (1, False, ["first"])
    with pytest.raises(KeyError):
        pair["second"]
    with pytest.raises(IndexError):
        pair[1]


def test_images() -> None:
    assert ImagePipelineOutput(images=[])[0] == []
