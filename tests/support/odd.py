"""Values that an argument may get by mistake, or from somebody who means harm."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class Unspeakable:
    """Can't even be shown."""

    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


def nested(depth: int = 5000) -> list[Any]:
    """A list in a list, and so on."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


ODD: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "zero": 0,
    "negative": -1,
    "huge": 10**400,
    "large": 10**30,
    "nan": float("nan"),
    "infinity": float("inf"),
    "half": 0.5,
    "numpy": np.int64(3),
    "empty": "",
    "list": [],
    "dict": {},
    "tuple": (),
    "set": {1},
    "object": object(),
    "unspeakable": Unspeakable(),
    "long": "x" * 100_000,
    "digits": "9" * 400,
    "surrogate": "a\ud800",
    "escape": "\x1b[31mred\u202e",
    "null": "a\0b",
    "nested": nested(),
    "bytes": b"cuda",
    "array": np.zeros(3),
    "tensor": torch.zeros(3),
    "class": int,
    "function": len,
    "mapping": {"a": object()},
    "numbers": {1: 2},
}
"""By what they are."""
