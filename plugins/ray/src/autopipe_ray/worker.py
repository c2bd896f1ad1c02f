"""The actor that does groups of jobs. It never raises: an exception would end Ray's whole run."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow
import ray
from ray import cloudpickle

from autopipe.wording import shown
from autopipe_batch.drawing import one_line
from autopipe_batch.work import Do, Group, Outcome

from .ledger import Entry


@dataclass(frozen=True)
class Setting:
    """What a worker is made from.

    Attributes:
        make: the pickled function that makes what does the work.
        device: the device of the worker; None for the default one.
        threads: the number of threads of torch.
        ledger: the actor that keeps the `Ledger`.
        here: the working folder of the program, to which relative paths refer.
        marker: a file in the folder of results that every machine must see, with its text; None
            for no check.
    """

    make: bytes
    device: str | None
    threads: int
    ledger: Any
    here: str
    marker: tuple[Path, str] | None = None


class Worker:
    """Does groups of jobs, one at a time. The columns of its tables are those of `rows`."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._name = f"process {os.getpid()} on {socket.gethostname()}"
        self._do: Do | None = None

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Do the groups of the table, and return their outcomes.

        In place of the outcomes of a group there may be a text: why this worker can't work at all.
        """
        return rows(
            (row["number"], self._attempt(row["number"], row["content"]))
            for row in table.to_pylist()
        )

    def _attempt(self, number: int, content: bytes) -> tuple[Outcome, ...] | str:
        try:
            if self._do is None and (trouble := self._made()):
                return trouble
            group: Group = pickle.loads(content)
            entry: Entry = self._ask("begin", number, self._name)
            if entry.state == "begin":
                outcomes = self._done(group)
                self._ask("finish", number, outcomes)
                return outcomes
            if entry.state == "died":
                error = f"its worker, {entry.worker}, died"
                return tuple(
                    Outcome(id=job.id, state="died", error=error, worker=entry.worker)
                    for job in group
                )
            return entry.outcomes
        except Exception as error:
            return self._trouble(error)

    def _made(self) -> str | None:
        """Make what does the work; return why that isn't possible, or None."""
        setting = self._setting
        with contextlib.suppress(OSError):
            os.chdir(setting.here)
        if setting.marker is not None and not _sees(*setting.marker):
            return (
                f"{socket.gethostname()} doesn't see the folder "
                f"{shown(str(setting.marker[0].parent), 300)} of this machine; results must go to "
                f"a folder that all machines of the Ray cluster share under the same path"
            )
        if not self._ask("make"):
            return (
                "workers on Ray end again and again while they open what draws, perhaps for want "
                "of memory; ask for fewer workers"
            )
        try:
            self._do = cloudpickle.loads(setting.make)(setting.device, setting.threads)
        finally:
            self._ask("made")
        return None

    def _done(self, group: Group) -> tuple[Outcome, ...]:
        assert self._do is not None
        try:
            outcomes = self._do(group)
        except Exception as error:
            failed = (Outcome(id=j.id, state="failed", error=one_line(error)) for j in group)
            outcomes = list(failed)
        return tuple(replace(one, worker=one.worker or self._name) for one in outcomes)

    def _trouble(self, error: Exception) -> str:
        return f"the worker in {self._name} can't work: {one_line(error)}"

    def _ask(self, method: str, *arguments: Any) -> Any:
        ask: Callable[..., Any] = getattr(self._setting.ledger, method).remote
        return ray.get(ask(*arguments))


def rows(pairs: Any) -> pyarrow.Table:
    """Return a table of numbers and pickled contents."""
    numbers, contents = zip(*pairs)
    return pyarrow.table(
        {
            "number": pyarrow.array(numbers, pyarrow.int64()),
            "content": pyarrow.array(map(pickle.dumps, contents), pyarrow.binary()),
        }
    )


def _sees(marker: Path, text: str) -> bool:
    try:
        return marker.read_text(encoding="ascii") == text
    except (OSError, ValueError):
        return False
