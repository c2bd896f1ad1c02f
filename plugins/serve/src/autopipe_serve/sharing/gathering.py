"""Gathers the calls of several threads, of which one at a time computes what all of them wait for.

No thread of its own is needed: the call that has waited for longest computes for those that came
after it. A call waits only for callers that are on their way: those that got a result just now. So
a single caller never waits, and one that leaves or is cancelled holds up the others once, and
briefly.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .rows import Rows

ALONE = object()
"""The result of a call that has to be computed alone."""

_SHARE = 0.1
"""The part of a pass's time for which it is worth waiting, if that is more than the patience."""


class Gathering:
    """Calls that can be joined.

    Args:
        run: computes the result of each of several calls; or `ALONE` for all of them.
        limit: the most rows of a pass; a call that has more is computed by itself.
        patience: for how many seconds after a pass its callers are expected to come again.
    """

    def __init__(
        self, run: Callable[[Sequence[Rows]], Sequence[Any]], limit: int, patience: float
    ) -> None:
        self._run, self._limit, self._patience = run, limit, patience
        self._changed = threading.Condition()
        self._waiting: deque[_Part] = deque()
        self._is_running = False
        self._most = limit
        self._took = 0.0
        self._served: dict[int, float] = {}
        """When the callers that are between two steps got their last result, by thread."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits, and nobody is expected."""
        with self._changed:
            return not (self._is_running or self._waiting) and self._left() <= 0

    def result(self, rows: Rows) -> Any:
        """Return the result of a call, or `ALONE`.

        Raises:
            Exception: what `run` raises in this thread. The others of that pass get `ALONE`.
        """
        part = _Part(rows)
        with self._changed:
            self._served.pop(part.thread, None)
            self._waiting.append(part)
            self._changed.notify_all()
            try:
                group = self._turn(part)
            finally:
                # Only an interruption of this thread leaves it there.
                if part in self._waiting:
                    self._waiting.remove(part)
                    self._changed.notify_all()
        if group:
            self._compute(group)
        with self._changed:
            while not part.is_done:
                self._changed.wait()
        return part.result

    def _turn(self, part: _Part) -> Sequence[_Part]:
        """Wait until `part` is to compute for a group, which is returned, or is in another's."""
        while part in self._waiting:
            left = None
            if self._waiting[0] is part and not self._is_running:
                left = self._left()
                if left <= 0:
                    return self._taken()
            self._changed.wait(left)
        return ()

    def _left(self) -> float:
        """Return for how many seconds to wait for callers that are on their way."""
        if sum(part.rows.count for part in self._waiting) >= self._most or not self._served:
            return 0.0
        return max(self._served.values()) + self._wait - time.monotonic()

    @property
    def _wait(self) -> float:
        return max(self._patience, _SHARE * self._took)

    def _taken(self) -> Sequence[_Part]:
        """Take those that have waited for longest, as many as fit into a pass."""
        group = [self._waiting.popleft()]
        count = group[0].rows.count
        while self._waiting and count + self._waiting[0].rows.count <= self._most:
            group.append(self._waiting.popleft())
            count += group[-1].rows.count
        self._is_running = True
        return group

    def _compute(self, group: Sequence[_Part]) -> None:
        begun = time.monotonic()
        results: Sequence[Any] = [ALONE] * len(group)
        try:
            results = self._run([part.rows for part in group])
        finally:
            with self._changed:
                now = time.monotonic()
                self._is_running, self._took = False, now - begun
                if results[0] is not ALONE:
                    self._most = min(self._most + 1, self._limit)
                elif len(group) > 1:
                    # Too many rows for the memory, for example: half as many, and slowly more.
                    self._most = max(sum(part.rows.count for part in group) // 2, 1)
                # Whoever didn't come back is not expected any more.
                late = begun - self._wait
                self._served = {who: at for who, at in self._served.items() if at > late}
                for part, result in zip(group, results, strict=True):
                    part.result, part.is_done = result, True
                    self._served[part.thread] = now
                self._changed.notify_all()


class _Part:
    """A call that waits for its part of a pass."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.thread = rows, threading.get_ident()
        self.result: Any = ALONE
        self.is_done = False
