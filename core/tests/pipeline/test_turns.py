"""Calls of an offloaded pipeline: one after another, and all as before after a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.relay import MODES, OFFLOADED, RelayPipeline, state
from torch import nn

from autopipe.errors import CancelledError, PlacementError
from autopipe.pipeline.turns import Turns

Mode = Callable[[RelayPipeline], object]
each_mode = pytest.mark.parametrize("name", MODES)
each_offload = pytest.mark.parametrize("name", OFFLOADED)


# Errors and cancelling


@each_offload
def test_an_error_in_a_network_leaves_all_as_before(
    name: str,
    modes: dict[str, Mode],
    pipe: RelayPipeline,
    expected: torch.Tensor,
) -> None:
    class Failing(nn.Linear):
        fails = True

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if self.fails:
                raise OSError("in the middle of a layer")
            return super().forward(input)

    painter = Failing(*pipe.painter.weight.shape)
    painter.load_state_dict(pipe.painter.state_dict())
    pipe.painter = painter
    modes[name](pipe)
    before = state(pipe)
    with pytest.raises(OSError, match="in the middle"):
        pipe()
    assert state(pipe) == before
    Failing.fails = False
    assert torch.equal(pipe(), expected)


@each_mode
@pytest.mark.parametrize("stage", ["encoding", "step", "decoding"])
def test_cancelling_at_any_stage_leaves_all_as_before(
    name: str,
    stage: str,
    modes: dict[str, Mode],
    pipe: RelayPipeline,
    expected: torch.Tensor,
) -> None:
    modes[name](pipe)
    before = state(pipe)
    reached, cancelled = threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        reached.set()
        assert cancelled.wait(10)

    def callback(run: Any, step: int) -> None:
        if (stage, step) in (("step", 0), ("decoding", 1)):
            wait()

    hook = pipe.reader.register_forward_pre_hook(wait) if stage == "encoding" else None
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(pipe, callback=callback)
        assert reached.wait(10)
        pipe.cancel()
        cancelled.set()
        with pytest.raises(CancelledError):
            call.result(10)
    if hook is not None:
        hook.remove()
    assert state(pipe) == before
    assert torch.equal(pipe(), expected)


def test_a_call_that_waits_for_its_turn_can_be_cancelled(pipe: RelayPipeline) -> None:
    pipe.enable_model_cpu_offload(device="cpu")
    view = RelayPipeline.from_pipe(pipe)
    inside, leave = threading.Event(), threading.Event()

    def hold(run: Any, step: int) -> None:
        inside.set()
        assert leave.wait(10)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pipe, callback=hold)
        assert inside.wait(10)
        second = threads.submit(view)
        while not view._calls:
            pass
        view.cancel()
        with pytest.raises(CancelledError):
            second.result(10)
        leave.set()
        first.result(10)
    assert view() is not None


# Threads


@each_mode
def test_threads_get_what_serial_calls_give(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline
) -> None:
    serial = [pipe(float(i), 1 + i % 3) for i in range(12)]
    view = RelayPipeline.from_pipe(pipe)
    modes[name](pipe)
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit((pipe, view)[i % 2], float(i), 1 + i % 3) for i in range(12)]
        parallel = [job.result(30) for job in jobs]
    assert all(torch.equal(a, b) for a, b in zip(serial, parallel, strict=True))


@pytest.mark.parametrize(("name", "together"), [("model", 1), ("sequential", 1), ("resident", 2)])
def test_only_calls_that_share_a_device_in_turn_wait_for_each_other(
    name: str, together: int, modes: dict[str, Mode], pipe: RelayPipeline
) -> None:
    modes[name](pipe)
    inside, most = set(), []
    second_is_inside = threading.Event()

    def callback(run: Any, step: int) -> None:
        inside.add(id(run))
        most.append(len(inside))
        if len(inside) == 2:
            second_is_inside.set()
        # One that is alone waits in vain, and not long; of two, the first waits for the other.
        second_is_inside.wait(0.2 if together == 1 else 10)
        if step == 1:
            inside.discard(id(run))

    with ThreadPoolExecutor(2) as threads:
        for job in [threads.submit(pipe, callback=callback) for _ in range(2)]:
            job.result(30)
    assert max(most) == together


@each_offload
def test_a_call_inside_a_call(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline, expected: torch.Tensor
) -> None:
    modes[name](pipe)
    inner: list[torch.Tensor] = []
    outer = pipe(callback=lambda run, step: inner.append(pipe()))
    assert all(torch.equal(one, expected) for one in (outer, *inner))


def test_placement_waits_for_running_calls_and_is_refused_inside_one(
    pipe: RelayPipeline, expected: torch.Tensor
) -> None:
    inside, switching = threading.Event(), threading.Event()
    order: list[str] = []

    def hold(run: Any, step: int) -> None:
        inside.set()
        assert switching.wait(10)
        order.append("step")

    def switch() -> None:
        switching.set()
        pipe.enable_sequential_cpu_offload(device="cpu")
        order.append("switched")

    with ThreadPoolExecutor(2) as threads:
        call = threads.submit(pipe, callback=hold)
        assert inside.wait(10)
        threads.submit(switch).result(10)
        assert torch.equal(call.result(10), expected)
    assert order == ["step", "step", "switched"]

    before = state(pipe)
    with pytest.raises(PlacementError, match="inside a call"):
        pipe(callback=lambda run, step: pipe.enable_model_cpu_offload(device="cpu"))
    assert state(pipe) == before


# Fairness


def test_who_waits_alone_goes_before_those_who_come_later() -> None:
    turns, order = Turns(), []
    inside, leave, later_waits = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with turns.take(alone=False):
            inside.set()
            assert leave.wait(30)

    def alone() -> None:
        with turns.take(alone=True):
            order.append("alone")

    def later() -> None:
        with turns.take(alone=False, check=later_waits.set):
            order.append("later")
        later_waits.set()

    with ThreadPoolExecutor(3) as threads:
        jobs = [threads.submit(first)]
        assert inside.wait(30)
        jobs.append(threads.submit(alone))
        while not turns._want_alone:
            pass
        jobs.append(threads.submit(later))
        assert later_waits.wait(30)
        leave.set()
        for job in jobs:
            job.result(30)
    assert order == ["alone", "later"]


def test_a_move_goes_before_calls_that_come_later(pipe: RelayPipeline) -> None:
    order: list[str] = []
    inside, leave, later_is_there = threading.Event(), threading.Event(), threading.Event()

    class Watching(RelayPipeline):
        checks = 0

        def check_cancelled(self) -> None:
            self.checks += 1
            if self.checks > 1:  # The first comes before it waits.
                later_is_there.set()

    class Reader(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            order.append("call")
            return super().forward(input)

        def to(self, *args: Any, **kwargs: Any) -> Any:
            order.append("move")
            return super().to(*args, **kwargs)

    def hold(run: Any, step: int) -> None:
        inside.set()
        assert leave.wait(30)

    pipe.reader = Reader(*pipe.reader.weight.shape)
    view = Watching.from_pipe(pipe)
    with ThreadPoolExecutor(3) as threads:
        jobs: list[Any] = [threads.submit(pipe, callback=hold)]
        assert inside.wait(30)
        jobs.append(threads.submit(pipe.to, "cpu"))
        while not pipe._pool._turns._want_alone:
            pass
        jobs.append(threads.submit(view))
        assert later_is_there.wait(30)
        leave.set()
        for job in jobs:
            job.result(30)
    assert order == ["call", "move", "call"]
