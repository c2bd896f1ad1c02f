"""Constructors of classes whose bases have constructors of their own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

_Made = TypeVar("_Made")

_TWICE = re.compile(r"multiple values for (?:keyword )?argument '(\w+)'")


def constructors(cls: type) -> Iterator[Callable[..., None]]:
    """The constructors that a keyword of `cls(...)` may reach, the outermost first.

    That is its own, and as long as each takes any keywords, which it passes on, the next one in
    the order of its bases.
    """
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is not None:
            yield init
            kinds = [one.kind for one in inspect.signature(init).parameters.values()]
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                return


def construct(cls: Callable[..., _Made], values: Mapping[str, Any]) -> _Made:
    """`cls(**values)`, less the values that a constructor passes on and sets by itself as well.

    That it does can't be told from its signature; Python tells when it is called.
    """
    values = dict(values)
    while True:
        try:
            return cls(**values)
        except TypeError as error:
            twice = _TWICE.search(str(error))
            if twice is None or values.pop(twice[1], _TWICE) is _TWICE:
                raise
