"""Stops a batch on Ctrl-C: once after what is in flight, twice at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from autopipe.cli.text import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Context manager in which the first Ctrl-C only sets `asked`; the second raises.

    SIGTERM, which job schedulers send before they end a program, counts as Ctrl-C. In a thread
    other than the first one, signals keep their meaning.

    Attributes:
        asked: whether to stop.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
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
        self.asked = True
        say(
            "\nautopipe: finishing what is being drawn; press Ctrl-C again to stop at once",
            error=True,
        )
