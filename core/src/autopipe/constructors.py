"""Constructors that pass keywords on to the constructors of base classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

_Made = TypeVar("_Made")

_TWICE = re.compile(r"multiple values for (?:keyword )?argument '(\w+)'")


def constructors(cls: type) -> Iterator[Callable[..., None]]:
    """Yield the constructors that a keyword of `cls(...)` may reach, in method resolution order.

    After a constructor without `**kwargs`, which can't pass keywords on, there are no more.
    """
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is not None:
            yield init
            kinds = [one.kind for one in inspect.signature(init).parameters.values()]
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                return


def construct(cls: Callable[..., _Made], values: Mapping[str, Any]) -> _Made:
    """Return `cls(**values)`, without those values that a constructor itself passes to its base.

    The signature doesn't show these; Python reports them as multiple values when it is called.
    """
    values = dict(values)
    while True:
        try:
            return cls(**values)
        except TypeError as error:
            twice = _TWICE.search(str(error))
            if twice is None or values.pop(twice[1], _TWICE) is _TWICE:
                raise
