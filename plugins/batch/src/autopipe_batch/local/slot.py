"""A place in the pool, with one worker after another in it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from autopipe.errors import AutopipeError
from autopipe.wording import reason

from ..work import Group
from .worker import Answer, work

MOST_STARTS = 3
"""A place is given up when so many workers in a row died there while they started."""

GRACE = 3.0
"""Seconds that a process has for ending before it is killed."""

LEAVING = 15.0
"""Seconds that a worker has for leaving when all is done, such as for removing its own files."""

_SPAWN = multiprocessing.get_context("spawn")


class Slot:
    """A place for a worker.

    Attributes:
        name: the name of its workers, for people.
        group: the group that its worker is doing; None if there is none.
        since: when the worker got it, by `time.monotonic`.
        ready: whether its worker can do groups.
        failed: how many workers in a row died here while they started.
    """

    def __init__(self, number: int, make: bytes, device: str | None, threads: int) -> None:
        self.name = f"worker {number}" + (f" on {device}" if device else "")
        self.group: Group | None = None
        self.since = 0.0
        self.ready = False
        self.failed = 0
        self._arguments = make, device, threads
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection | None:
        """What is readable when there is news of the worker; None if there is no worker."""
        return self._connection

    @property
    def usable(self) -> bool:
        """Whether workers may still be started here."""
        return self.failed < MOST_STARTS

    def start(self) -> None:
        """Start a worker.

        Raises:
            AutopipeError: if the system has no room for another process.
        """
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=work, args=(theirs, *self._arguments), name=self.name, daemon=True
        )
        try:
            with _without_interrupts():
                self._process.start()
        except OSError as error:
            self._connection = self._process = None
            raise AutopipeError(
                f"the system can't start {self.name} ({reason(error)}); use fewer workers"
            ) from error
        finally:
            theirs.close()

    def give(self, group: Group) -> None:
        """Give a group to the worker, which is ready and has none."""
        assert self._connection is not None
        self.group, self.since = group, time.monotonic()
        # If the worker is dead, that is seen at the next look.
        with suppress(OSError):
            self._connection.send(group)

    def news(self) -> tuple[list[Answer], int | None]:
        """Return what the worker answered, and its exit code if it is dead.

        A dead worker is gone from here, and `group` is what it was doing, or None.
        """
        assert self._process is not None
        assert self._connection is not None
        code = self._process.exitcode
        if code is not None:
            # Before reading: what it started could keep its side of the connection open.
            _signal(self._process, "SIGKILL")
        answers: list[Answer] = []
        try:
            while self._connection.poll():
                answers.append(self._connection.recv())
                if not isinstance(answers[-1], str):
                    self.ready, self.group = True, None
        except (EOFError, OSError, pickle.UnpicklingError):
            # It was killed, perhaps in the middle of an answer, or is about to exit.
            code = self._gone()
        if code is not None:
            self._empty()
        return answers, code

    def _gone(self) -> int:
        assert self._process is not None
        self._process.join(GRACE)
        _signal(self._process, "SIGKILL")
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def _empty(self) -> None:
        assert self._process is not None
        assert self._connection is not None
        self._connection.close()
        self._process.close()
        self._process = self._connection = None
        self.failed = 0 if self.ready else self.failed + 1
        self.ready = False

    @staticmethod
    def end(slots: Sequence[Slot], *, at_once: bool) -> None:
        """End the workers of all slots.

        Args:
            at_once: whether to terminate them, whatever they do; or they leave by themselves, as
                no more groups come.
        """
        living = [slot for slot in slots if slot._process is not None]
        for slot in living:
            assert slot._process is not None
            assert slot._connection is not None
            slot._connection.close()
            if at_once or not slot.ready:
                _signal(slot._process, "SIGTERM")
        deadline = time.monotonic() + (GRACE if at_once else LEAVING)
        for slot in living:
            assert slot._process is not None
            slot._process.join(max(0.0, deadline - time.monotonic()))
            _signal(slot._process, "SIGKILL")
            slot._process.join()
            slot._empty()


def _signal(process: SpawnProcess, name: str) -> None:
    """Send a signal to a process and everything that it started; to none if it is gone."""
    assert process.pid is not None
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, getattr(signal, name))
    # Until it leads a group, and where there are no groups.
    (process.kill if name == "SIGKILL" else process.terminate)()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back: a process that starts meanwhile inherits that until it ignores it."""
    if sys.platform == "win32":
        yield
        return
    # At its own start it would let the signal through.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
