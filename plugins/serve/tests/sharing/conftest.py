"""Callers that share a network, each in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor, nn

from autopipe.attaching.engine import NetworkEngine

Call: TypeAlias = Callable[[Callable[..., Any]], Any]
"""Calls the function that an engine prepared."""

LONG = 60.0
"""A patience that no test waits for: with it, callers that know of each other always join."""


class Passes(NetworkEngine):
    """Eager mode that keeps the number of rows of each pass in `seen`, and the arguments."""

    name = "passes"

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.given: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        def run(sample: Tensor, *args: Any, **kwargs: Any) -> Any:
            self.given.append(((sample, *args), kwargs))
            self.seen.append(len(sample))
            return getattr(network, method)(sample, *args, **kwargs)

        return run


@pytest.fixture
def passes() -> Passes:
    return Passes()


def together(
    run: Callable[..., Any],
    seen: Sequence[int],
    calls: Sequence[Call],
    rows: int,
    then: Sequence[Call] = (),
) -> list[Any]:
    """Repeat calls in threads until one pass had all rows, and then call each again.

    Args:
        seen: the rows of each pass, which grows.
        rows: those of all calls.
        then: the last calls, if they are others.

    Returns:
        What the last calls returned or raised, which came together.
    """

    @torch.no_grad()
    def work(call: Call, last: Call) -> Any:
        for _ in range(1000):
            call(run)
            # Whoever was in that pass sees this, and nobody was elsewhere.
            if max(seen) >= rows:
                break
        else:
            raise AssertionError(f"passes never had {rows} rows: {seen}")
        try:
            return last(run)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(work, calls, then or calls))
