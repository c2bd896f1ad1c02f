"""Checks how network classes treat unsuitable values in their configs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .odd import JSON, OBJECTS, TENSORS, refusal, says

VALUES: list[Any] = [*JSON.values(), *OBJECTS.values(), *TENSORS.values(), 1, 10**9, [1] * 300_000]


def check_network_values(
    cls: Any, base: Mapping[str, Any], use: Callable[[Any], object], more: list[Any]
) -> None:
    """Build a network from `base` with every value for every entry.

    A network that can be built is used; an error must name the class and the entry.
    """
    use(cls(**base))
    for entry in cls.init_parameters():
        for value in (*VALUES, *more):
            made: list[Any] = []
            error = refusal(lambda: made.append(cls(**{**base, entry: value})))  # noqa: B023
            if error is None:
                refusal(lambda: use(made[0]))  # noqa: B023
            else:
                assert says(error, cls.__name__, entry), (entry, value, error)
