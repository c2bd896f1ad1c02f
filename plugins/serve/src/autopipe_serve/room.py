"""Decides which checkpoints are in memory together."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autopipe.errors import CancelledError


class Room:
    """The memory that checkpoints and their calls share.

    A call that finds no room waits until the calls before it have ended. Calls are admitted in the
    order in which they came, so that none waits for ever.

    Args:
        limit: the bytes.
        drop: gives back the memory of a checkpoint, by its key.
    """

    def __init__(self, limit: int, drop: Callable[[str], None]) -> None:
        self.limit, self._drop = limit, drop
        self._held: OrderedDict[str, int] = OrderedDict()
        self._users: Counter[str] = Counter()
        self._working = 0
        self._turns: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def held(self) -> dict[str, int]:
        """The bytes of the weights of each checkpoint, by key, the least recently used first."""
        with self._changed:
            return dict(self._held)

    @contextmanager
    def taken(
        self, key: str, weights: int, work: int, is_cancelled: Callable[[], bool]
    ) -> Iterator[None]:
        """Context manager in which a checkpoint has room; the least recently used ones leave.

        Args:
            key: the key of the checkpoint.
            weights: the bytes of its weights.
            work: the bytes of the activations of the call.
            is_cancelled: whether to stop waiting; `wake` after it has changed.

        Raises:
            CancelledError: if it is cancelled while it waits.
        """
        self._wait(key, weights, work, is_cancelled)
        try:
            yield
        finally:
            with self._changed:
                self._users[key] -= 1
                self._working -= work
                self._changed.notify_all()

    def correct(self, key: str, weights: int) -> None:
        """Tell how many bytes the weights of a checkpoint really have; 0 if it isn't loaded."""
        with self._changed:
            if weights and key in self._held:
                self._held[key] = weights
            elif not weights and self._users[key] <= 1:
                self._held.pop(key, None)
            self._changed.notify_all()

    def wake(self) -> None:
        """Let waiting calls see whether they are cancelled."""
        with self._changed:
            self._changed.notify_all()

    def _wait(self, key: str, weights: int, work: int, is_cancelled: Callable[[], bool]) -> None:
        turn = object()
        with self._changed:
            self._turns.append(turn)
            try:
                self._changed.wait_for(
                    lambda: (
                        is_cancelled()
                        or (self._turns[0] is turn and self._makes_room(key, weights, work))
                    )
                )
                if is_cancelled():
                    raise CancelledError("the request was cancelled while it waited for memory")
                self._held.setdefault(key, weights)
                self._held.move_to_end(key)
                self._users[key] += 1
                self._working += work
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()

    def _makes_room(self, key: str, weights: int, work: int) -> bool:
        """Let checkpoints leave that nobody uses, if that is enough."""
        more = work + (0 if key in self._held else weights)
        over = self._working + sum(self._held.values()) + more - self.limit
        unused = [one for one in self._held if one != key and not self._users[one]]
        leaving: list[str] = []
        for one in unused:
            if over <= 0:
                break
            leaving.append(one)
            over -= self._held[one]
        # A call that is alone is admitted: its estimate was checked before it waited.
        if over > 0 and any(self._users.values()):
            return False
        for one in leaving:
            del self._held[one]
            self._drop(one)
        return True
