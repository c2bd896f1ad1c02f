"""A lock for which nobody waits for ever."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ..errors import PluginError

PATIENCE = 30.0
"""Seconds that a thread waits for another one that reads what is installed."""


@contextlib.contextmanager
def held(lock: threading.RLock) -> Iterator[None]:
    """Hold `lock`, that of the default registry.

    A plugin may wait for a thread of its own that asks for the registry while it is being built.

    Raises:
        PluginError: another thread has held it for too long.
    """
    if not lock.acquire(timeout=PATIENCE):
        raise PluginError(
            f"another thread has been reading what is installed for {PATIENCE:g} s, so this one "
            f"can't know; with AUTOPIPE_DEBUG=1 the plugin that it waits for is named on stderr"
        )
    try:
        yield
    finally:
        lock.release()
