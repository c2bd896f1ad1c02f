"""Invalid or hostile values for arguments and config entries, by a description.

They are grouped: JSON values, other Python objects, and arrays and tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from autopipe.errors import AutopipeError

NAN, INF = float("nan"), float("inf")


class Unspeakable:
    """An object without a text representation."""

    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


def nested(depth: int = 5000) -> list[Any]:
    """Return a list nested to the given depth."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


JSON: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -5,
    "half": 0.5,
    "fraction": 1.5,
    "large": 10**30,
    "beyond floats": 10**400,
    "nan": NAN,
    "infinity": INF,
    "minus infinity": -INF,
    "empty text": "",
    "text": "x",
    "number as text": "5",
    "digits": "9" * 400,
    "long text": "y" * 10**5,
    "surrogate": "a\ud83d",
    "control characters": "\x00\x1b]0;\x07\x1b[31mred\u202e",
    "empty list": [],
    "list": [1, 2, 3],
    "list of texts": ["a cat", "a \ud83d"],
    "list of None": [None],
    "list of lists": [[1], [2]],
    "long list": [1] * 10**4,
    "object": {},
    "nested": {"a": {"b": [1]}},
}

OBJECTS: dict[str, Any] = {
    "ratio": Fraction(15, 2),
    "plain object": object(),
    "unspeakable": Unspeakable(),
    "class": dict,
    "function": print,
    "bytes": b"cuda",
    "tuple": (),
    "range": range(3),
    "set": {1},
    "numbers by number": {1: 2},
    "object in a dict": {"a": object()},
    "list of many kinds": [[[1], ["a"]], {"a": [1]}],
    "deeply nested": nested(),
    "generator": torch.Generator(),
}

TENSORS: dict[str, Any] = {
    "numpy integer": np.int64(2),
    "numpy float": np.float32(2.5),
    "numpy boolean": np.bool_(True),
    "array": np.ones((2, 3)),
    "array in a row": np.zeros(3),
    "array of objects": np.array([object()], dtype=object),
    "scalar tensor": torch.tensor(2.0),
    "integer tensor": torch.tensor(2),
    "nan tensor": torch.tensor(NAN),
    "tensor in a row": torch.zeros(3),
    "tensor of five axes": torch.ones(1, 2, 3, 4, 5),
    "empty tensor": torch.ones(0),
    "sparse tensor": torch.ones(1, 3, 16, 16).to_sparse(),
    "complex tensor": torch.ones(1, 3, 16, 16, dtype=torch.complex64),
    "meta tensor": torch.ones(1, 3, 16, 16, device="meta"),
    "list of tensors": [torch.ones(3, 16, 16), torch.ones(2)],
}

ODD: dict[str, Any] = {**JSON, **OBJECTS, **TENSORS}


def refusal(call: Callable[[], object]) -> AutopipeError | None:
    """Return the `AutopipeError` that `call` raises, or None. Other errors propagate."""
    try:
        call()
    except AutopipeError as error:
        return error
    return None


@contextlib.contextmanager
def only(kind: type[AutopipeError]) -> Iterator[None]:
    """Context manager that accepts only errors of `kind`, or none."""
    try:
        yield
    except kind:
        pass
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} is not a {kind.__name__}") from error


def says(error: AutopipeError, *words: str) -> bool:
    """Whether the message of `error` is short and contains all `words`."""
    return len(str(error)) < 1000 and all(word in str(error) for word in words)
