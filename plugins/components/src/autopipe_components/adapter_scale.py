"""The scale of adapters in a loop of one's own, where no call of a pipeline says it.

Networks and prompt encodings get it as an argument; adapters such as LoRAs read it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from autopipe.pipeline.values import number

_scale: ContextVar[float] = ContextVar("adapter_scale", default=1.0)


def adapter_scale() -> float:
    """Return by what the strengths of adapters are multiplied outside a call."""
    return _scale.get()


@contextmanager
def adapters_scaled(scale: float | None) -> Iterator[None]:
    """Context manager in which this thread runs networks with this scale; None is 1.

    Raises:
        ArgumentTypeError: if it is not a number.
    """
    before = _scale.set(1.0 if scale is None else number("lora_scale", scale))
    try:
        yield
    finally:
        _scale.reset(before)
