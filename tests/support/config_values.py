"""Values that a config can hold where others are meant, and what a class does with each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from autopipe.errors import AutopipeError

NAN, INF = float("nan"), float("inf")

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 0.5, -0.5, 10**9, 10**30, 10**400, NAN, INF, -INF),
    *("", "x", "5", "x" * 10**6, "\ud83d", b"x", object(), {}, {"a": 1}, {1}, [], [[1]], [NAN]),
    *([1] * 300_000, ["x"], (), range(3), np.float32(0.5), np.array([[0.5]]), torch.Generator()),
]
"""Of another kind, of another size, not a number, empty, nested, very long, of no encoding."""


def refusal(call: Callable[[], object]) -> str | None:
    """What our library refuses a call with; None where it works. Any other error is raised."""
    try:
        call()
    except AutopipeError as error:
        return str(error)
    return None


def check_network_values(
    cls: Any, base: Mapping[str, Any], use: Callable[[Any], object], more: list[Any]
) -> None:
    """Give every value to every entry of a network that is made with `base`.

    What it takes it is used with; what it refuses it refuses by name.
    """
    use(cls(**base))
    for entry in cls.init_parameters():
        for value in (*VALUES, *more):
            made: list[Any] = []
            said = refusal(lambda: made.append(cls(**{**base, entry: value})))  # noqa: B023
            if said is None:
                refusal(lambda: use(made[0]))  # noqa: B023
            else:
                assert cls.__name__ in said, (entry, value)
                assert entry in said, (said, value)
                assert len(said) < 1000, entry
