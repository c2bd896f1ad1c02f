"""Limits how long the Hub's client waits, and makes downloads interruptible."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import thread as pools
from contextlib import contextmanager, suppress
from typing import Any

_LONGEST = 310.0
"""In seconds. The Hub limits requests in windows of five minutes."""

_GRACE = 2.0
"""Seconds that a download has to stop and clean up."""


class LongWaitError(ConnectionError):
    """The server asks for a long wait, so a retry would be useless.

    Attributes:
        response: the response of the server.
    """

    def __init__(self, text: str, response: object) -> None:
        super().__init__(text)
        self.response = response


@contextmanager
def briefly() -> Iterator[None]:
    """Context manager in which the Hub's client refuses long waits.

    Raises:
        LongWaitError: if a server asks for a long wait.
    """
    from huggingface_hub import get_session

    hooks: Any = getattr(get_session(), "event_hooks", {}).setdefault("response", [])
    hooks.append(_refuse_long_wait)
    try:
        yield
    finally:
        hooks.remove(_refuse_long_wait)


def _refuse_long_wait(answer: Any) -> None:
    if answer.status_code not in (408, 429) and answer.status_code < 500:
        return
    for name, pattern in (("retry-after", r"\s*(\d+)"), ("ratelimit", r".*\bt=(\d+)")):
        found = re.match(pattern, answer.headers.get(name, ""))
        if found and float(found[1]) > _LONGEST:
            raise LongWaitError(
                f"status {answer.status_code}, asking to wait for {found[1][:20]} seconds",
                answer,
            )


def interruptibly(work: Callable[[type], object]) -> None:
    """Run a download so that Ctrl-C stops it at once.

    Without this, an interrupted download and the end of the process would wait for the client's
    threads, possibly for hours.

    Args:
        work: the download; called in another thread with the class of progress bars to use.
    """
    from huggingface_hub.utils import tqdm

    stopped, failed = threading.Event(), list[BaseException]()

    class Progress(tqdm):  # type: ignore[misc]  # It has no types.
        """A progress bar that stops its download when interrupted."""

        def update(self, n: float | None = 1) -> bool | None:
            if stopped.is_set():
                raise InterruptedError("the download was interrupted")
            shown: bool | None = super().update(n)
            return shown

    def run() -> None:
        try:
            work(Progress)
        except BaseException as error:
            failed.append(error)

    before = set(threading.enumerate())
    # Threads that it starts are daemons, too.
    worker = threading.Thread(target=run, name="autopipe-download", daemon=True)
    try:
        worker.start()
        while worker.is_alive():
            worker.join(0.1)
    except BaseException:
        stopped.set()
        end = time.monotonic() + _GRACE
        while worker.is_alive() and time.monotonic() < end:
            # A second Ctrl-C doesn't cut the clean-up short.
            with suppress(KeyboardInterrupt):
                worker.join(max(0.0, end - time.monotonic()))
        for thread in set(threading.enumerate()) - before:
            getattr(pools, "_threads_queues", {}).pop(thread, None)
        raise
    if failed:
        raise failed[0]
