"""A lock with a timeout."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ..errors import PluginError

PATIENCE = 30.0
"""Seconds that a thread waits while another one reads the installed plugins."""


@contextlib.contextmanager
def held(lock: threading.RLock) -> Iterator[None]:
    """Hold `lock`, the lock of the default registry.

    Without a timeout, a plugin that waits for a thread which uses the registry would deadlock.

    Raises:
        PluginError: if another thread holds it for longer than the timeout.
    """
    if not lock.acquire(timeout=PATIENCE):
        raise PluginError(
            f"another thread is still reading the installed plugins after {PATIENCE:g} s; set "
            f"AUTOPIPE_DEBUG=1 to see on stderr which plugin it waits for"
        )
    try:
        yield
    finally:
        lock.release()
