"""Gathers the calls of several threads, of which one at a time computes what all of them wait for.

No thread of its own is needed: the call that has waited for longest computes for those that came
after it. There is one pass at a time, since each uses the whole device; so those that come
meanwhile meet. A call waits, too, for callers that are on their way: those that got a result just
now, after which callers came to this point before. So a single caller never waits, and one that
leaves or is cancelled holds up the others once, and briefly.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

from .rows import Rows

ALONE = object()
"""The result of a call that has to be computed alone."""

Compute: TypeAlias = Callable[[Sequence[Rows]], Sequence[Any]]
"""Computes the result of each of several calls in one pass; or `ALONE` for all of them."""

_SHARE = 0.1
"""The part of a pass's time for which it is worth waiting, if that is more than the patience."""

_MOST_POINTS = 64


class Gathering:
    """The calls of networks that are asked in turn, such as a ControlNet and its U-Net.

    Args:
        limit: the most rows of a pass.
        patience: for how many seconds after a pass its callers are expected to come again.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self._limit, self._patience = limit, patience
        self._lock = threading.Lock()
        self._points: dict[Hashable, _Point] = {}
        self._served: dict[int, tuple[_Point, float]] = {}
        """By thread, where it got its last result, and until when its next call is expected."""
        self._is_running = False
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        """The number of calls that wait for a pass to begin."""
        with self._lock:
            return sum(len(point.parts) for point in self._points.values())

    def result(self, rows: Rows, key: Hashable, compute: Compute) -> Any:
        """Return the result of a call, or `ALONE`.

        Args:
            key: equal for calls that can be joined.
            compute: computes them; called in one of their threads.

        Raises:
            Exception: what `compute` raises in this thread. The others of that pass get `ALONE`.
        """
        with self._lock:
            part = self._arrived(rows, key)
            try:
                group = self._turn(part)
            finally:
                # Only an interruption of this thread leaves it there.
                if part in part.point.parts:
                    part.point.parts.remove(part)
                    self._wake()
        if group:
            self._compute(group, compute)
        with self._lock:
            while not part.is_done:
                part.changed.wait()
        return part.result

    def _arrived(self, rows: Rows, key: Hashable) -> _Part:
        if key not in self._points:
            if len(self._points) >= _MOST_POINTS:
                self._points = {k: one for k, one in self._points.items() if one.parts}
            self._points[key] = _Point(self._limit)
        point, thread = self._points[key], threading.get_ident()
        before, until = self._served.pop(thread, (None, 0.0))
        if before is not None and until > time.monotonic():
            before.next = point
        part = _Part(rows, point, thread, next(self._numbers), threading.Condition(self._lock))
        point.parts.append(part)
        self._wake()
        return part

    def _turn(self, part: _Part) -> Sequence[_Part]:
        """Wait until `part` is to compute for a group, which is returned, or is in another's."""
        while part in part.point.parts:
            left = None
            if not self._is_running:
                seconds, first = self._first()
                if first is part:
                    left = seconds
                    if left <= 0:
                        self._is_running = True
                        return part.point.taken()
            part.changed.wait(left)
        return ()

    def _first(self) -> tuple[float, _Part]:
        """Return in how many seconds the next pass begins, and the part that computes it."""
        now = time.monotonic()
        ready = [
            (max(self._ready(point) - now, 0.0), point.parts[0].number, point.parts[0])
            for point in self._points.values()
            if point.parts
        ]
        seconds, _, first = min(ready)
        return seconds, first

    def _ready(self, point: _Point) -> float:
        """Return until when calls at a point wait for callers that are on their way."""
        if point.is_full:
            return 0.0
        coming = (until for before, until in self._served.values() if before.next is point)
        return max(coming, default=0.0)

    def _wake(self) -> None:
        """Let those look again who may be the next to compute."""
        for point in self._points.values():
            if point.parts:
                point.parts[0].changed.notify()

    def _compute(self, group: Sequence[_Part], compute: Compute) -> None:
        begun, point = time.monotonic(), group[0].point
        results: Sequence[Any] = [ALONE] * len(group)
        try:
            results = compute([part.rows for part in group])
        finally:
            with self._lock:
                now = time.monotonic()
                self._is_running = False
                point.limit(group, self._limit, failed=results[0] is ALONE)
                self._served = {who: one for who, one in self._served.items() if one[1] > now}
                until = now + max(self._patience, _SHARE * (now - begun))
                for part, result in zip(group, results, strict=True):
                    part.result, part.is_done = result, True
                    self._served[part.thread] = point, until
                    part.changed.notify()
                self._wake()


class _Point:
    """Where calls that can be joined meet.

    Attributes:
        parts: those that wait, in the order of their arrival.
        next: where callers came that had been here.
    """

    def __init__(self, most: int) -> None:
        self.parts: deque[_Part] = deque()
        self.next: _Point | None = None
        self._most = most

    @property
    def is_full(self) -> bool:
        """Whether those that wait fill a pass."""
        return sum(part.rows.count for part in self.parts) >= self._most

    def taken(self) -> Sequence[_Part]:
        """Take those that have waited for longest, as many as fit into a pass."""
        group = [self.parts.popleft()]
        count = group[0].rows.count
        while self.parts and count + self.parts[0].rows.count <= self._most:
            group.append(self.parts.popleft())
            count += group[-1].rows.count
        return group

    def limit(self, group: Sequence[_Part], most: int, *, failed: bool) -> None:
        """After a failure, for want of memory for example, join half as many, and slowly more."""
        if failed and len(group) > 1:
            self._most = max(sum(part.rows.count for part in group) // 2, 1)
        else:
            self._most = min(self._most + 1, most)


class _Part:
    """A call that waits for its part of a pass."""

    def __init__(
        self, rows: Rows, point: _Point, thread: int, number: int, changed: threading.Condition
    ) -> None:
        self.rows, self.point, self.thread, self.number = rows, point, thread, number
        self.changed = changed
        self.result: Any = ALONE
        self.is_done = False
