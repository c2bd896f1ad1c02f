"""The bar that shows how far a call is: tqdm's, with the keywords that a user set."""

from __future__ import annotations

import inspect
import io
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..errors import ArgumentError, ArgumentTypeError, check_names
from ..wording import shown, told
from .values import number

_OF_THE_CALL = ("iterable", "total", "self", "kwargs")
_OF_NOTEBOOKS = ("display",)


def progress_bar(settings: Mapping[str, Any], iterable: Iterable[Any] | None, total: Any) -> Any:
    """A tqdm bar over `iterable`, or of `total` steps.

    Raises:
        ArgumentError, ArgumentTypeError: not one of both is given, or it can't be gone through,
            or is not a number.
    """
    from tqdm.auto import tqdm

    if (iterable is None) == (total is None):
        raise ArgumentError("progress_bar takes either iterable or total")
    if total is None and not isinstance(iterable, Iterable):
        raise ArgumentTypeError(f"iterable={shown(iterable)} can't be gone through")
    if total is not None:
        found = number("total", total)
        if not 0 <= found <= sys.maxsize:
            raise ArgumentError(f"total={shown(total)} is not a number of steps")
        total = total if isinstance(total, int) else found
    try:
        return tqdm(iterable, total=total, **settings)
    except TypeError as error:
        if total is not None:
            raise
        raise ArgumentTypeError(f"iterable={shown(iterable)} can't be gone through") from error


def check_settings(settings: Mapping[str, Any]) -> None:
    """Try each keyword on a bar that nobody sees.

    Raises:
        ArgumentTypeError: tqdm has no such keyword, or it can't do with the value.
    """
    from tqdm.std import tqdm

    known = [n for n in inspect.signature(tqdm.__init__).parameters if n not in _OF_THE_CALL]
    check_names(settings, (*known, *_OF_NOTEBOOKS), "set_progress_bar_config has no keyword")

    class Trial(tqdm):  # type: ignore[misc]  # It has no types.
        # Of its own: an error while a bar is drawn leaves the lock of all bars taken.
        _lock: ClassVar[Any] = threading.RLock()
        _instances: ClassVar[Any] = weakref.WeakSet()
        monitor_interval = 0

    for name, value in settings.items():
        trial = {"file": io.StringIO(), **({} if name in _OF_NOTEBOOKS else {name: value})}
        try:
            if name == "position" and not isinstance(value, (int, type(None))):
                raise TypeError("it is not a line")
            for _ in Trial(range(2), **trial):
                pass
            trial["file"].write("")
        except Exception as error:
            raise ArgumentTypeError(
                f"{name}={shown(value)} is nothing that tqdm can do with ({told(error)})"
            ) from error
