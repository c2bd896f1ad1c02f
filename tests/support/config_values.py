"""What the class of a network does with values that its config can hold where others are meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .odd import JSON, OBJECTS, TENSORS, refusal, says

VALUES: list[Any] = [*JSON.values(), *OBJECTS.values(), *TENSORS.values(), 1, 10**9, [1] * 300_000]


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
            error = refusal(lambda: made.append(cls(**{**base, entry: value})))  # noqa: B023
            if error is None:
                refusal(lambda: use(made[0]))  # noqa: B023
            else:
                assert says(error, cls.__name__, entry), (entry, value, error)
