"""Who waits for whom: order, limits, and callers that fail or leave."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from autopipe_serve.sharing.gathering import ALONE, Gathering
from autopipe_serve.sharing.rows import Rows, reader_of

from .conftest import LONG


class Net(nn.Module):
    def forward(self, sample: Any, timestep: Any) -> Any:
        return sample


class Computer:
    """Computes results, pass by pass, when it is allowed to."""

    def __init__(self) -> None:
        self.groups: list[list[float]] = []
        self.begun, self.allowed = threading.Semaphore(0), threading.Semaphore(0)
        self.error: BaseException | None = None
        self.fails = False

    def __call__(self, parts: Sequence[Rows]) -> Sequence[Any]:
        names = [float(part.leaves[0][0, 0]) for part in parts]
        self.groups.append(names)
        self.begun.release()
        self.allowed.acquire()
        if self.error is not None:
            raise self.error
        return [ALONE] * len(parts) if self.fails else [f"of {name:g}" for name in names]


@pytest.fixture
def computer() -> Computer:
    return Computer()


@torch.no_grad()
def rows(name: float, count: int = 1) -> Rows:
    read = reader_of(Net())
    assert read is not None
    found = read(torch.full((count, 2), name), 3)
    assert found is not None
    return found


class Caller(threading.Thread):
    """A thread that asks once, or as often as `again` says."""

    def __init__(
        self,
        gathering: Gathering,
        computer: Computer,
        name: float,
        count: int = 1,
        times: int = 1,
        keys: Sequence[str] = ("one",),
    ) -> None:
        super().__init__()
        self.outcomes: list[Any] = []
        asked, order = rows(name, count), itertools.cycle(keys)
        self._ask: Callable[[], Any] = lambda: gathering.result(asked, next(order), computer)
        self._times = times
        self.start()

    def run(self) -> None:
        for _ in range(self._times):
            try:
                self.outcomes.append(self._ask())
            except BaseException as error:
                self.outcomes.append(error)


def until(fact: Callable[[], bool]) -> None:
    """Wait until something is the case; the suite's own limit ends a test that hangs."""
    while not fact():
        threading.Event().wait(0.001)


def queued(gathering: Gathering, computer: Computer, *counts: int) -> list[Caller]:
    """Callers of which the first computes, while the others wait in their order."""
    callers = [Caller(gathering, computer, 1, counts[0])]
    computer.begun.acquire()
    for place, count in enumerate(counts[1:], 1):
        callers.append(Caller(gathering, computer, place + 1, count))
        until(lambda place=place: gathering.waiting == place)
    return callers


def finish(computer: Computer, callers: Sequence[Caller]) -> list[Any]:
    for _ in range(100):
        computer.allowed.release()
    for caller in callers:
        caller.join()
    return [caller.outcomes for caller in callers]


def test_callers_that_wait_during_a_pass_are_joined_in_the_next(computer: Computer) -> None:
    gathering = Gathering(16, 0.001)
    outcomes = finish(computer, queued(gathering, computer, 1, 1, 1, 1))
    assert computer.groups == [[1], [2, 3, 4]]
    assert outcomes == [["of 1"], ["of 2"], ["of 3"], ["of 4"]]


def test_a_pass_has_no_more_rows_than_the_limit_and_nobody_is_passed_over(
    computer: Computer,
) -> None:
    gathering = Gathering(4, 0.001)
    finish(computer, queued(gathering, computer, 1, 2, 2, 3, 1, 1))
    # The fifth would fit beside the second and third, but the fourth came before it.
    assert computer.groups == [[1], [2, 3], [4, 5], [6]]


@pytest.mark.parametrize("keys", [("unet",), ("controlnet", "unet")])
def test_callers_between_two_steps_are_waited_for(
    computer: Computer, keys: tuple[str, ...]
) -> None:
    gathering = Gathering(16, LONG)
    first = Caller(gathering, computer, 1, times=7, keys=keys)
    for _ in range(3):
        computer.begun.acquire()
        computer.allowed.release()
    computer.begun.acquire()
    # It is seen now where callers go; they come in the midst of its fourth pass.
    others = [Caller(gathering, computer, name, times=3, keys=keys) for name in (2, 3)]
    until(lambda: gathering.waiting == 2)
    outcomes = finish(computer, [first, *others])
    assert [sorted(one) for one in computer.groups] == [[1]] * 4 + [[1, 2, 3]] * 3
    assert [len(one) for one in outcomes] == [7, 3, 3]


def test_callers_that_leave_are_not_waited_for(computer: Computer) -> None:
    gathering = Gathering(16, 0.001)
    callers = queued(gathering, computer, 1, 1, 1)
    callers.append(Caller(gathering, computer, 4, times=9))
    outcomes = finish(computer, callers)
    assert outcomes == [["of 1"], ["of 2"], ["of 3"], ["of 4"] * 9]


def test_a_single_caller_waits_for_nobody(computer: Computer) -> None:
    gathering = Gathering(16, LONG)
    finish(computer, [Caller(gathering, computer, 1, times=5)])
    assert computer.groups == [[1]] * 5


def test_calls_that_cant_be_joined_take_turns(computer: Computer) -> None:
    gathering = Gathering(16, 0.001)
    callers = [Caller(gathering, computer, 1)]
    computer.begun.acquire()
    for place, key in enumerate(("small", "large", "small", "large", "other"), 2):
        callers.append(Caller(gathering, computer, place, keys=(key,)))
        until(lambda place=place: gathering.waiting == place - 1)
    finish(computer, callers)
    assert computer.groups == [[1], [2, 4], [3, 5], [6]]


def test_an_error_of_a_pass_is_raised_in_one_thread_and_the_others_compute_alone(
    computer: Computer,
) -> None:
    gathering = Gathering(16, 0.001)
    callers = queued(gathering, computer, 1, 1, 1)
    computer.allowed.release()
    computer.begun.acquire()
    computer.error = KeyboardInterrupt()
    (_, *outcomes) = finish(computer, callers)
    assert isinstance(outcomes[0][0], KeyboardInterrupt)
    assert outcomes[1] == [ALONE]
    # It goes on.
    computer.error = None
    assert finish(computer, [Caller(gathering, computer, 5)]) == [["of 5"]]


def test_after_a_pass_that_failed_fewer_rows_are_joined(computer: Computer) -> None:
    gathering = Gathering(4, 0.001)
    callers = queued(gathering, computer, 1, 1, 1, 1, 1)
    computer.allowed.release()
    computer.begun.acquire()
    computer.fails = True
    outcomes = finish(computer, callers)
    assert computer.groups == [[1], [2, 3, 4, 5]]
    assert outcomes[1:] == [[ALONE]] * 4
    computer.fails = False
    while computer.allowed.acquire(blocking=False):
        pass
    while computer.begun.acquire(blocking=False):
        pass
    finish(computer, queued(gathering, computer, 1, 1, 1, 1, 1))
    # Half of four rows, and one more after each pass that works.
    assert computer.groups[2:] == [[1], [2, 3, 4], [5]]
