"""Which values fit an annotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from autopipe.values import Range, Unfit, fitted

NAN, INF = float("nan"), float("inf")


class Thing:
    pass


@pytest.mark.parametrize(
    ("hint", "values"),
    [
        (int, [0, -5, 10**6]),
        (float, [0.5, 3, -INF, INF]),
        (str, ["", "x" * 1000, "\ud83d"]),
        (bool, [True, False, None, 0, 1, np.bool_(True), torch.tensor(True)]),
        (int | None, [None, 3]),
        (Sequence[int], [[], (1, 2), [1] * 1000]),
        (tuple[int, int], [(1, 2), [1, 2]]),
        (tuple[int, ...], [(1, 2, 3)]),
        (int | Sequence[Sequence[int]], [1, [[1], [2, 3]]]),
        (np.ndarray | Sequence[float] | None, [np.ones(3), [0.5], None, torch.ones(3)]),
        (Thing | None, [Thing(), None, object()]),
        (Any, [None, "x", object()]),
    ],
)
def test_what_fits_is_left_alone(hint: Any, values: list[Any]) -> None:
    for value in values:
        assert fitted(value, hint) is value


@pytest.mark.parametrize(
    ("hint", "values", "said"),
    [
        (int, [None, True, "1", 2.5, NAN, INF, 10**400, [1], {}, torch.ones(1)], "whole number"),
        (float, [None, False, "x", NAN, 10**400, [0.5], 1j, torch.tensor(NAN)], "a number"),
        (str, [None, 1, b"x", ["x"], object()], "text"),
        (bool, ["false", "", 2, 0.5, NAN, [True], {}], "true or false"),
        (int | None, ["x", [None]], "a whole number or None"),
        (Sequence[int], [None, "12", b"12", 3, {1: 2}, [1, None], [[1]], [NAN]], "a list"),
        (
            Sequence[int],
            [[1] * 200_000, torch.ones(2, 2), np.array([1.5])],
            "each entry a whole number",
        ),
        (tuple[int, int], [(1,), [1, 2, 3]], "a list"),
        (Thing | None, ["x", 1, {}, [], 2.5], "an object such as a Thing or None"),
    ],
)
def test_what_does_not_fit(hint: Any, values: list[Any], said: str) -> None:
    for value in values:
        with pytest.raises(Unfit, match=said):
            fitted(value, hint)


def test_a_number_of_another_type_becomes_the_one_asked_for() -> None:
    for value in (3.0, np.int32(3), np.float16(3), torch.tensor(3.0)):
        assert (fitted(value, int), type(fitted(value, int))) == (3, int)
    assert type(fitted(np.float32(0.5), float)) is float
    assert fitted(range(3), Sequence[int]) == [0, 1, 2]
    assert fitted([1.0, np.int64(2)], Sequence[int]) == [1, 2]
    assert fitted((1.0, 2), tuple[int, int]) == (1, 2)
    for array in (np.array([1.0, 2]), torch.tensor([1, 2])):
        assert fitted(array, Sequence[int]) == [1, 2]


def test_limits_hold_in_lists_too() -> None:
    limits = Range(1, 8)
    assert fitted([1, 8], int | Sequence[int], limits) == [1, 8]
    for value in (0, 9, [1, 0], math.inf):
        with pytest.raises(Unfit, match="from 1 to 8"):
            fitted(value, int | Sequence[int], limits)
    with pytest.raises(Unfit, match="of at least 0"):
        fitted(-0.5, float, Range(low=0))
    with pytest.raises(Unfit, match="of more than 0"):
        fitted(0.0, float, Range(above=0))
