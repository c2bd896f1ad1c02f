"""The pool: one queue of groups, from which each worker gets the next one when it is idle.

A worker never has a second group at hand: a group that waits behind a slow one would be delayed,
and what that would save, the way to the parent and back, takes less than a thousandth of a second.
"""

from __future__ import annotations

import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait

from autopipe.errors import ArgumentError
from autopipe.wording import logger, reason

from ..work import MOST_DEATHS, Group, Make, Outcome
from .slot import Slot

_log = logger(__name__)

TICK = 0.1
"""Seconds after which `stopping` is asked again."""


def run(
    groups: Sequence[Group],
    make: Make,
    *,
    workers: int | None,
    devices: Sequence[str | None],
    threads: int,
    stopping: Callable[[], bool],
) -> Iterator[Outcome]:
    """Do all groups in processes of this machine; see `Runner`.

    A worker that dies is replaced. If workers can't start, a job that waits fails with an outcome
    that is `fatal` and says why, and nothing more begins.

    Raises:
        ArgumentError: if `make` can't be sent to another process.
        AutopipeError: if the system can't start a process.
    """
    try:
        made = pickle.dumps(make)
    except Exception as error:
        raise ArgumentError(
            f"make can't be sent to workers ({reason(error)}); it must be an object or function "
            "of a module"
        ) from error
    places = devices or [None]
    count = len(places) if workers is None else max(1, workers)
    slots = [
        Slot(number + 1, made, places[number % len(places)], threads) for number in range(count)
    ]
    at_once = True
    try:
        yield from _Pool(slots, groups).outcomes(stopping)
        at_once = False
    finally:
        Slot.end(slots, at_once=at_once)


class _Pool:
    def __init__(self, slots: Sequence[Slot], groups: Sequence[Group]) -> None:
        self._slots = slots
        # A sequence may make its groups when they are asked for.
        self._groups, self._waiting = iter(groups), len(groups)
        self._again: deque[Group] = deque()
        self._told: deque[Outcome] = deque()
        self._over = False

    def outcomes(self, stopping: Callable[[], bool]) -> Iterator[Outcome]:
        while True:
            self._over = self._over or stopping()
            if not self._over:
                self._begin()
            # Whoever takes outcomes may be slow. So idle workers get groups before each of them.
            if self._told:
                yield self._told.popleft()
            elif not self._busy():
                return
            self._listen(0 if self._told else TICK)

    def _busy(self) -> bool:
        return any(slot.group for slot in self._slots) or (
            not self._over and self._waiting + len(self._again) > 0
        )

    def _next(self) -> Group | None:
        if self._waiting:
            self._waiting -= 1
            return next(self._groups)
        return self._again.popleft() if self._again else None

    def _begin(self) -> None:
        """Give groups to idle workers, and start workers for those that no idle one takes."""
        for slot in self._slots:
            if slot.ready and slot.group is None and (group := self._next()):
                slot.give(group)
        starting = sum(slot.connection is not None and not slot.ready for slot in self._slots)
        missing = self._waiting + len(self._again) - starting
        empty = [slot for slot in self._slots if slot.connection is None and slot.usable]
        for slot in empty[: max(0, missing)]:
            slot.start()

    def _listen(self, seconds: float) -> None:
        """Wait for news of workers, so many seconds at most."""
        living = {slot.connection: slot for slot in self._slots if slot.connection is not None}
        if not living:
            return
        wait(list(living), seconds)
        # All are asked, not only those whose connection says so: if a process that a worker has
        # started keeps its connection open, the end of the worker isn't seen there.
        for slot in living.values():
            answers, code = slot.news()
            for answer in answers:
                if isinstance(answer, str):
                    self._give_up(answer)
                else:
                    self._take(slot, answer)
            if code is not None:
                self._lose(slot, code)

    def _take(self, slot: Slot, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._told.append(replace(outcome, worker=outcome.worker or slot.name))
            self._over = self._over or outcome.fatal

    def _lose(self, slot: Slot, code: int) -> None:
        """Take what a dead worker was doing, to try it again or to set it aside."""
        group, slot.group = slot.group, None
        seconds = time.monotonic() - slot.since
        for job in group or ():
            job = replace(job, deaths=job.deaths + 1)
            # In a group of several, another one may have been the cause.
            last = job.deaths >= MOST_DEATHS and len(group or ()) == 1
            if not last:
                self._again.append((job,))
            self._told.append(
                Outcome(
                    id=job.id,
                    state="set aside" if last else "died",
                    seconds=seconds / len(group or ()),
                    error=_set_aside(job.deaths, code) if last else f"its worker died {_how(code)}",
                    worker=slot.name,
                )
            )
        if any(one.usable for one in self._slots):
            if not slot.usable:
                _log.warning("%s dies while it starts; going on without it", slot.name)
        else:
            self._give_up(
                f"workers die while they start, the last one {_how(code)}; what they wrote says "
                "why, and with fewer workers they need less memory. A script that calls this "
                "needs `if __name__ == '__main__':` around it"
            )

    def _give_up(self, why: str) -> None:
        """Begin nothing more, and tell why with the outcome of a job that waits."""
        if not self._over and (group := self._next()):
            self._told.append(Outcome(id=group[0].id, state="failed", error=why, fatal=True))
            self._over = True


def _set_aside(deaths: int, code: int) -> str:
    return (
        f"{deaths} workers died of it, the last one {_how(code)}; it may succeed with fewer "
        "workers or a smaller size"
    )


def _how(code: int) -> str:
    """Tell how a process with this exit code ended, after "it died"."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"of {name}" + (", probably because memory ran out" if name == "SIGKILL" else "")
