"""Locks for the networks of a pipeline, shared or exclusive, and for tokenizers."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PATIENCE = 0.1
"""Seconds between two checks while waiting."""


class Turns:
    """A re-entrant lock that many threads can share, or one can hold exclusively."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}
        self._is_alone = False
        self._want_alone = 0

    @contextmanager
    def take(self, *, alone: bool, check: Callable[[], None] = lambda: None) -> Iterator[bool]:
        """Wait for the lock and hold it; yield whether this thread didn't hold it before.

        Args:
            alone: whether to hold it exclusively.
            check: called while waiting; an exception that it raises ends the wait.
        """
        me = threading.get_ident()
        with self._changed:
            was_outside = me not in self._inside
            if was_outside:
                self._wait(alone, check)
                self._is_alone = alone
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield was_outside
        finally:
            with self._changed:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                    self._is_alone = False
                    self._changed.notify_all()

    def _wait(self, alone: bool, check: Callable[[], None]) -> None:
        self._want_alone += alone
        try:
            # Shared use waits for pending exclusive use, which would otherwise wait forever.
            while self._inside if alone else (self._is_alone or self._want_alone):
                self._changed.wait(_PATIENCE)
                check()
        finally:
            self._want_alone -= alone
            self._changed.notify_all()


_guards: weakref.WeakKeyDictionary[object, threading.RLock] = weakref.WeakKeyDictionary()
_guards_lock = threading.Lock()


def guard(component: object) -> threading.RLock:
    """Return the lock to hold while using a component that is not thread-safe (a tokenizer).

    The lock belongs to the object, because pipelines of different pools may share it.
    """
    with _guards_lock:
        return _guards.setdefault(component, threading.RLock())
