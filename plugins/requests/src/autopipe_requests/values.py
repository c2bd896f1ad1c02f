"""Reads JSON values by their types."""

from __future__ import annotations

import functools
import json
from contextlib import suppress
from typing import Any

from pydantic import ConfigDict, JsonValue, TypeAdapter

from autopipe.values import Unfit

from .annotations import words_of


class Text(str):
    """A value as text, from a command line or a table, which may mean a number or JSON."""


_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


def fitted(value: Any, kind: Any) -> Any:
    """Return a JSON value as calls take it, such as a tuple for a list, or a float for an int.

    Raises:
        Unfit: if it is not of the type `kind`, or not JSON; the text says what was expected.
    """
    try:
        text = json.dumps(value, allow_nan=False)
        return _adapter(kind).validate_json(text)
    except (TypeError, ValueError, RecursionError):
        raise Unfit(words_of(kind)) from None


def plain(value: Any) -> Any:
    """Return a JSON value with lists in place of tuples.

    Raises:
        ValueError: if it contains NaN or an infinite number.
        TypeError: if it is not JSON.
    """
    return json.loads(json.dumps(value, allow_nan=False))


def meant(text: str, kind: Any) -> JsonValue:
    """Return the JSON value that a text means: that which it spells, else the text itself.

    `True`, `False` and `None` are accepted as well.

    Raises:
        Unfit: if neither is of the type `kind`; the text says what was expected.
    """
    with suppress(Unfit, ValueError, RecursionError):
        value: JsonValue = json.loads(_CONSTANTS.get(text, text))
        fitted(value, kind)
        return value
    fitted(text, kind)
    return text


@functools.lru_cache(maxsize=4096)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))
