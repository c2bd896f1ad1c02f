"""Sweeps: how values are written, and their combinations."""

from __future__ import annotations

import argparse

import pytest

from autopipe.errors import ArgumentError
from autopipe_batch.sweep import Sweep, combinations, sweep
from autopipe_requests.inputs import Text


def test_values_are_text_separated_by_commas() -> None:
    found = sweep("guidance-scale=3, 5,7")
    assert found == Sweep("guidance_scale", ("3", "5", "7"))
    assert all(isinstance(one, Text) for one in found.values)


def test_values_with_commas_are_a_list_in_json() -> None:
    assert sweep('size=[[64, 32], "64x64"]').values == ([64, 32], "64x64")


@pytest.mark.parametrize(
    ("text", "values"), [("seed=0..3", (0, 1, 2, 3)), ("seed=2..0", (2, 1, 0)), ("a=5..5", (5,))]
)
def test_ranges(text: str, values: tuple[int, ...]) -> None:
    assert sweep(text).values == values


@pytest.mark.parametrize(
    "text",
    ["a", "a=", "=1", "a b=1", "a=1,,2", "a=1,1", "a=[]", "a=[1", "a=[NaN]", "a=0..1000000"],
)
def test_what_is_no_sweep(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        sweep(text)


def test_the_last_sweep_changes_fastest() -> None:
    assert combinations([Sweep("a", (1, 2)), Sweep("b", (3, 4))]) == [
        {"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4},
    ]  # fmt: skip
    assert combinations([]) == [{}]


def test_sweeps_have_limits() -> None:
    with pytest.raises(ArgumentError, match="'a' is swept twice"):
        combinations([Sweep("a", (1,)), Sweep("a", (2,))])
    big = tuple(range(1001))
    with pytest.raises(ArgumentError, match="1,002,001 jobs are more"):
        combinations([Sweep("a", big), Sweep("b", big)])
    with pytest.raises(ArgumentError, match="1,001,000 jobs are more"):
        combinations([Sweep("a", big)], 1000)
