"""Cancelling one call: from inside it, and from outside by what it was given."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.relay import RelayPipeline
from torch import Tensor

from autopipe.errors import ArgumentTypeError, CancelledError
from autopipe.pipeline.call import pipeline_call


def test_a_callback_cancels_its_own_call_alone(pipe: RelayPipeline, expected: Tensor) -> None:
    steps: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def wait(run: Any, step: int) -> None:
        inside.set()
        assert go_on.wait(30)

    def cancel(run: Any, step: int) -> None:
        steps.append(step)
        run.cancel()
        go_on.set()

    with ThreadPoolExecutor() as threads:
        other = threads.submit(pipe, callback=wait)
        assert inside.wait(30)
        with pytest.raises(CancelledError):
            pipe(steps=5, callback=cancel)
        assert torch.equal(other.result(30), expected)
    assert steps == [0]
    assert torch.equal(pipe(), expected)


def test_cancelling_the_pipeline_from_a_callback_cancels_all(pipe: RelayPipeline) -> None:
    with pytest.raises(CancelledError):
        pipe(callback=lambda run, step: pipe.cancel())


@pytest.mark.parametrize(
    "token", [threading.Event(), asyncio.Event(), multiprocessing.Event()], ids=str
)
def test_a_token_set_before_ends_the_call_before_any_work(token: Any, pipe: RelayPipeline) -> None:
    token.set()
    pipe.reader.forward = lambda x: pytest.fail("a network was used")
    with pytest.raises(CancelledError):
        pipe(cancellation=token)
    assert not pipe._calls


def test_a_token_set_by_another_thread_ends_that_call_alone(
    pipe: RelayPipeline, expected: Tensor
) -> None:
    token, inside = threading.Event(), threading.Event()

    def wait(run: Any, step: int) -> None:
        inside.set()
        assert token.wait(30)

    with ThreadPoolExecutor() as threads:
        call = threads.submit(pipe, callback=wait, cancellation=token)
        assert inside.wait(30)
        token.set()
        with pytest.raises(CancelledError):
            call.result(30)
    assert torch.equal(pipe(cancellation=threading.Event()), expected)
    assert torch.equal(pipe(cancellation=None), expected)


def test_a_token_ends_the_wait_for_a_turn(pipe: RelayPipeline) -> None:
    pipe.enable_model_cpu_offload(device="cpu")
    token, inside, go_on = threading.Event(), threading.Event(), threading.Event()

    def wait(run: Any, step: int) -> None:
        inside.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor() as threads:
        first = threads.submit(pipe, callback=wait)
        assert inside.wait(30)
        second = threads.submit(pipe, cancellation=token)
        token.set()
        with pytest.raises(CancelledError):
            second.result(30)
        go_on.set()
        first.result(30)


def test_subclasses_and_nested_calls_end_too(pipe: RelayPipeline) -> None:
    class Twice(RelayPipeline):
        @pipeline_call
        def __call__(self, **kwargs: Any) -> Any:
            return super().__call__(**kwargs) * 2

    class Undecorated(RelayPipeline):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    class Nested(RelayPipeline):
        @pipeline_call
        def __call__(self, token: Any) -> Any:
            part = RelayPipeline(**self.components)
            part.become_stage_of(self)
            return part(callback=lambda run, step: token.set())

    def setting(token: threading.Event) -> Any:
        return lambda run, step: token.set()

    for cls in (Twice, Undecorated):
        token = threading.Event()
        with pytest.raises(CancelledError):
            cls(**pipe.components)(cancellation=token, callback=setting(token))
    token = threading.Event()
    with pytest.raises(CancelledError):
        Nested(**pipe.components)(token, cancellation=token)


@pytest.mark.parametrize("token", [True, "stop", threading.Event, 0, lambda: True])
def test_something_else_is_refused(token: Any, pipe: RelayPipeline) -> None:
    with pytest.raises(ArgumentTypeError, match=r"cancellation must be a threading\.Event"):
        pipe(cancellation=token)
