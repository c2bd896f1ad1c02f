"""Whether what is attached to a pipeline can go along with a copy of it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..errors import ArgumentTypeError


@contextmanager
def refused(what: str, one: object, done: str) -> Iterator[None]:
    """Whatever goes wrong inside is an `ArgumentTypeError` that says `what` can't be `done`."""
    try:
        yield
    except Exception as error:
        raise ArgumentTypeError(
            f"{what}, a {type(one).__name__}, can't be {done} with the pipeline "
            f"({type(error).__name__}: {error}); take it off before"
        ) from error


def check_pickles(what: str, one: object, apart: tuple[type, ...]) -> None:
    """Raise `ArgumentTypeError`, which names it as `what`, if `one` can't be pickled.

    Args:
        apart: classes of objects that are not looked into.
    """
    with refused(what, one, "pickled"):
        _Trial(apart).dump(one)


class _Trial(pickle.Pickler):
    """Writes a pickle without the numbers of tensors, for nobody to read."""

    def __init__(self, apart: tuple[type, ...]) -> None:
        super().__init__(io.BytesIO())
        self._apart = (Tensor, *apart)

    def persistent_id(self, obj: Any) -> str | None:
        return "left out" if isinstance(obj, self._apart) else None
