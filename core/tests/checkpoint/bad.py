"""Values that an entry of a config may have and should not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autopipe.errors import AutopipeError

BAD: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "huge": 10**30,
    "digits": 10**400,
    "negative": -5,
    "zero": 0,
    "fraction": 1.5,
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus infinity": -float("inf"),
    "text": "x",
    "no text": "",
    "list": [],
    "list of lists": [[1], [2]],
    "object": {},
    "nested": {"a": {"b": [1]}},
    "long text": "y" * 10**5,
    "long list": [1] * 10**4,
    "surrogate": "a\ud83d",
}


def refusal(load: Callable[[], Any]) -> AutopipeError | None:
    """The error of ours that `load` ends in; None where it ends well. Any other error passes."""
    try:
        load()
    except AutopipeError as error:
        return error
    return None


def says(error: AutopipeError, *words: str) -> bool:
    """Whether the message is short, and has all of `words`."""
    return len(str(error)) < 1000 and all(word in str(error) for word in words)
