"""The progress bar of a call: tqdm's, with the user's keywords."""

from __future__ import annotations

import inspect
import io
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..errors import ArgumentError, ArgumentTypeError, check_names
from ..wording import error_summary, shown
from .values import number

_OF_THE_CALL = ("iterable", "total", "self", "kwargs")
_OF_NOTEBOOKS = ("display",)


def progress_bar(settings: Mapping[str, Any], iterable: Iterable[Any] | None, total: Any) -> Any:
    """Return a tqdm bar over `iterable`, or of `total` steps.

    Raises:
        ArgumentError: if not exactly one of them is given, or `total` is negative.
        ArgumentTypeError: if `iterable` can't be iterated, or `total` is not a number.
    """
    from tqdm.auto import tqdm

    if (iterable is None) == (total is None):
        raise ArgumentError("progress_bar takes either iterable or total")
    if total is None and not isinstance(iterable, Iterable):
        raise ArgumentTypeError(f"iterable={shown(iterable)} can't be iterated")
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
        raise ArgumentTypeError(f"iterable={shown(iterable)} can't be iterated") from error


def check_settings(settings: Mapping[str, Any]) -> None:
    """Try each keyword on a bar that is not displayed.

    Raises:
        ArgumentTypeError: if tqdm has no such keyword, or doesn't accept the value.
    """
    from tqdm.std import tqdm

    known = [n for n in inspect.signature(tqdm.__init__).parameters if n not in _OF_THE_CALL]
    check_names(settings, (*known, *_OF_NOTEBOOKS), "set_progress_bar_config has no keyword")

    class Trial(tqdm):  # type: ignore[misc]  # It has no types.
        # Its own lock: an error while a bar is drawn would leave the lock of all bars held.
        _lock: ClassVar[Any] = threading.RLock()
        _instances: ClassVar[Any] = weakref.WeakSet()
        monitor_interval = 0

    for name, value in settings.items():
        trial = {"file": io.StringIO(), **({} if name in _OF_NOTEBOOKS else {name: value})}
        try:
            if name == "position" and not isinstance(value, (int, type(None))):
                raise TypeError("it is not a line number")
            for _ in Trial(range(2), **trial):
                pass
            trial["file"].write("")
        except Exception as error:
            raise ArgumentTypeError(
                f"tqdm doesn't accept {name}={shown(value)} ({error_summary(error)})"
            ) from error
