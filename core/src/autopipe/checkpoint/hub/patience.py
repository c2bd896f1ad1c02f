"""Waiting for the Hub no longer than it is worth, and only while nobody says stop."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import thread as pools
from contextlib import contextmanager, suppress
from typing import Any

_LONGEST = 310.0
"""Seconds. The Hub counts requests in windows of five minutes, and asks to wait for the next."""

_GRACE = 2.0
"""Seconds that a download has to stop and to clean up."""


class LongWaitError(ConnectionError):
    """The server asks to wait for longer than anybody would. Asking sooner is of no use.

    Attributes:
        response: its answer.
    """

    def __init__(self, said: str, response: object) -> None:
        super().__init__(said)
        self.response = response


@contextmanager
def briefly() -> Iterator[None]:
    """Inside, the Hub's client doesn't wait for as long as a server likes.

    Raises:
        LongWaitError: a server asks for a long wait.
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
                f"it answers {answer.status_code} and asks to wait for {found[1][:20]} seconds",
                answer,
            )


def interruptibly(work: Callable[[type], object]) -> None:
    """Run `work`, a download, so that Ctrl-C ends it at once.

    The client's own threads are waited for where a download is interrupted, and when the process
    ends, even if they have hours of work before them.

    Args:
        work: called with the class of progress bars to use, in another thread.
    """
    from huggingface_hub.utils import tqdm

    stopped, failed = threading.Event(), list[BaseException]()

    class Progress(tqdm):  # type: ignore[misc]  # It has no types.
        """Stops the download that it shows."""

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
    # The threads that it starts are daemons too.
    worker = threading.Thread(target=run, name="autopipe-download", daemon=True)
    try:
        worker.start()
        while worker.is_alive():
            worker.join(0.1)
    except BaseException:
        stopped.set()
        end = time.monotonic() + _GRACE
        while worker.is_alive() and time.monotonic() < end:
            # Who presses Ctrl-C again wants the same.
            with suppress(KeyboardInterrupt):
                worker.join(max(0.0, end - time.monotonic()))
        for thread in set(threading.enumerate()) - before:
            getattr(pools, "_threads_queues", {}).pop(thread, None)
        raise
    if failed:
        raise failed[0]
