"""What differs between a result that was drawn and the one that would be drawn here and now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from autopipe.wording import clean, cut

from .record import Circumstances, Record
from .request import Request

MOST = 30
"""The most lines."""

_NAMES = {
    "pipeline": "the pipeline",
    "device": "the device",
    "processor": "the processor",
    "instructions": "the instructions of the processor",
    "threads": "the number of threads",
}


def differences(record: Record, request: Request, here: Circumstances) -> list[str]:
    """Return what can change a result, a line each.

    Args:
        record: how it was drawn.
        request: the request that would be drawn.
        here: how that would be drawn.
    """
    then = record.drawn
    pairs = {about: (getattr(then, n), getattr(here, n)) for n, about in _NAMES.items()}
    for name in sorted(then.versions.keys() | here.versions.keys()):
        pairs[name] = then.versions.get(name), here.versions.get(name)
    if record.id != request.id:
        old, new = (_flat(json.loads(one.canonical())) for one in (record.request, request))
        pairs |= {name: (old.get(name), new.get(name)) for name in {**old, **new}}
    found = [_line(name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]]
    rest = len(found) - MOST
    return found if rest <= 0 else [*found[:MOST], f"{rest:,} more"]


def _line(what: str, before: object, after: object) -> str:
    then, here = ("not there" if one in (None, "") else _short(one) for one in (before, after))
    return f"{_short(what)}: {then} then, {here} here"


def _short(value: object) -> str:
    return cut(clean(str(value), keep=""))


def _flat(value: Any) -> dict[str, Any]:
    """Return the values in JSON by their places, such as `checkpoint.name`."""
    return dict(_places(value, ""))


def _places(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    inner: Mapping[Any, Any] = {}
    if isinstance(value, dict):
        inner = value
    elif isinstance(value, list):
        inner = dict(enumerate(value))
    if not inner:
        yield place, value
    for key, one in inner.items():
        yield from _places(one, f"{place}.{key}" if place else str(key))
