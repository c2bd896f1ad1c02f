"""What was begun and finished in a run, so that nothing is tried without end.

Ray starts a worker that ended again and repeats its tasks, for ever. A worker therefore asks the
ledger before it begins a group, and a group that another one has begun is not done a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from autopipe_batch.work import Outcome


@dataclass(frozen=True)
class Entry:
    """The answer to a worker that wants to begin a group.

    Attributes:
        state: `begin` if it may; `stop` if nothing more is begun; `died` if the worker that began
            it has ended; `finished` if its outcomes are there, but got lost on their way.
        worker: who began it.
        outcomes: what became of its jobs.
    """

    state: Literal["begin", "stop", "died", "finished"]
    worker: str = ""
    outcomes: tuple[Outcome, ...] = ()


@dataclass
class Ledger:
    """The groups of a run by their number; an actor of Ray, which answers one worker at a time.

    Attributes:
        most_lost: how many workers may end while they are made.
    """

    most_lost: int
    _begun: dict[int, str] = field(default_factory=dict)
    _finished: dict[int, tuple[Outcome, ...]] = field(default_factory=dict)
    _making: int = 0
    _stopping: bool = False

    def make(self) -> bool:
        """Return whether a worker may be made: whether not too many ended in the making."""
        if self._making >= self.most_lost:
            return False
        self._making += 1
        return True

    def made(self) -> None:
        """Note that a worker was made."""
        self._making -= 1

    def begin(self, number: int, worker: str) -> Entry:
        """Note that `worker` begins a group, if the answer says so."""
        if number in self._finished:
            return Entry("finished", outcomes=self._finished[number])
        if number in self._begun:
            return Entry("died", self._begun[number])
        if self._stopping:
            return Entry("stop")
        self._begun[number] = worker
        return Entry("begin")

    def finish(self, number: int, outcomes: tuple[Outcome, ...]) -> None:
        """Note what became of a group."""
        self._finished[number] = outcomes

    def stop(self) -> set[int]:
        """Let nothing more begin; return the groups that were begun."""
        self._stopping = True
        return set(self._begun)
