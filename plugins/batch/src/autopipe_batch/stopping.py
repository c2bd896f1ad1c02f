"""Stops a batch on Ctrl-C: once after what is in flight, twice at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Context manager in which the first Ctrl-C only sets `asked`; the second raises.

    SIGTERM, which job schedulers send before they end a program, counts as Ctrl-C. In a thread
    other than the first one, signals keep their meaning.

    Args:
        tell: tells the user something.

    Attributes:
        asked: whether to stop.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.asked = False
        self._tell, self._told = tell, False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop; the first time, the user is told so."""
        if self.asked and not self._told:
            self._told = True
            self._tell("finishing what is being drawn; press Ctrl-C again to stop at once")
        return self.asked

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.signal(one, self._take) for one in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        # Printing here could interrupt printing.
        self.asked = True
