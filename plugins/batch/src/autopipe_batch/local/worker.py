"""What runs in the process of a worker: it does groups of jobs until nothing more comes.

A worker shares nothing with others, no lock and no queue, so that it can be killed at any moment
without blocking anyone. It is the leader of a process group of its own: whatever it starts ends
with it, and a Ctrl-C in the terminal reaches the parent alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import TypeAlias

from ..work import Do, Group, Outcome

Answer: TypeAlias = "list[Outcome] | str"
"""The outcomes of a group; none when the worker is ready; why it can't work as text."""


def work(connection: Connection, make: bytes, device: str | None, threads: int) -> None:
    """Be a worker: the target of a process.

    Args:
        connection: gives groups and takes an `Answer` for each, after one for being ready.
        make: the pickled `Make`. It is opened here because its imports may take seconds, and by
            then this process has to end if its parent does.
        device: see `Make`.
        threads: see `Make`.
    """
    _separate(connection)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Without the parent nobody reads answers; the thread above ends this process.
    with contextlib.suppress(EOFError, OSError):
        try:
            do: Do = pickle.loads(make)(device, threads)
        except Exception as error:
            connection.send(_text(error))
            return
        connection.send([])
        while True:
            group = connection.recv()
            connection.send(_outcomes(do, group))


def _outcomes(do: Do, group: Group) -> list[Outcome]:
    try:
        return do(group)
    except Exception as error:
        return [Outcome(id=job.id, state="failed", error=_text(error)) for job in group]


def _text(error: Exception) -> str:
    # Its imports are heavy for a process that can't see yet whether its parent lives.
    from ..drawing import one_line

    return one_line(error)


def _separate(connection: Connection) -> None:
    """Separate this process from its parent's terminal, output and process group."""
    # What it prints must not get into the result of the command.
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform != "win32":
        # Another group than the terminal's may be stopped for writing to it.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        # As long as another process has it, the end of this one isn't seen.
        os.set_inheritable(connection.fileno(), False)
    # The mark made the parent end this process at its exit. It would forbid processes of its own.
    multiprocessing.current_process().daemon = False


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
