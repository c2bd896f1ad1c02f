"""The progress of a batch: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from autopipe.cli.text import say

_EVERY = 15.0
"""Seconds between two lines."""


class Progress:
    """Context manager that shows on stderr how many jobs are done, how fast, and what is left.

    Args:
        total: the number of jobs.
        before: the number of those that were done before.
        quiet: whether to show nothing.
    """

    def __init__(self, total: int, before: int = 0, *, quiet: bool = False) -> None:
        self.total, self.before, self.quiet = total, before, quiet
        self.done = self.failed = 0
        self._bar: Any = None
        self._begin = self._told = time.monotonic()

    def __enter__(self) -> Progress:
        self._begin = self._told = time.monotonic()
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total,
                initial=self.before,
                bar_format="{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}",
                dynamic_ncols=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, *, done: bool) -> None:
        """Count a job that is done, or failed."""
        self.done += done
        self.failed += not done
        if self._bar is not None:
            self._bar.set_postfix_str(self.text(), refresh=False)
            self._bar.update()
        elif not self.quiet and time.monotonic() - self._told >= _EVERY:
            self._told = time.monotonic()
            count = self.before + self.done + self.failed
            say(f"{count} of {self.total}, {self.text()}", error=True)

    def tell(self, text: str) -> None:
        """Print a line above the bar, also if this is quiet."""
        if self._bar is not None:
            self._bar.clear()
        say(text, error=True)
        if self._bar is not None:
            self._bar.refresh()

    def text(self) -> str:
        """Return how many failed, how many are done in a minute, and how long the rest takes."""
        count = self.done + self.failed
        minutes = (time.monotonic() - self._begin) / 60
        parts = [f"{self.failed} failed"] if self.failed else []
        if count and minutes > 0:
            speed = count / minutes
            left = (self.total - self.before - count) / speed
            parts += [f"{speed:.1f} pictures per minute", f"{_duration(left * 60)} left"]
        return ", ".join(parts) or "nothing done yet"


def _duration(seconds: float) -> str:
    """Return a time in the two largest units that it has."""
    whole = round(seconds)
    for size, large, small, one in ((86400, "d", "h", 3600), (3600, "h", "min", 60)):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // one} {small}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
