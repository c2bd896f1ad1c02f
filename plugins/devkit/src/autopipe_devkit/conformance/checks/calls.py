"""Checks of calls: repeatable, independent of each other, to be watched and to be stopped."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from autopipe.errors import CancelledError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of

from ..samples import batched
from ..subject import Subject

BATCHED = 1e-4
"""In a batch the same numbers are summed in another order, in float32, over a few layers; so they
are where weights begin at another place in memory, as those of a copy do."""

THREADS = 4


def seed(subject: Subject) -> None:
    """The same seed is the same result, another one is another, and a call leaves no trace."""
    pipe = subject.load()
    before = state(pipe)
    first, again, other = (subject.result(pipe, seed=number) for number in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert state(pipe) == before, "a call must not change its pipeline"


def state(pipe: DiffusionPipeline) -> dict[str, Any]:
    """What a call might change: attributes, and those of the scheduler."""
    scheduler = getattr(pipe, "scheduler", None)
    state = {name: id(value) for name, value in pipe.__dict__.items()}
    return {**state, "scheduler's": repr(copy.copy(getattr(scheduler, "__dict__", None)))}


def batch(subject: Subject) -> None:
    """A batch, with inputs and a generator for each, equals its singles."""
    pipe = subject.load()
    names = batched(subject.task)
    given = [subject.arguments(second=second) for second in (False, True)]
    inputs = [{name: one[name] for name in names} for one in given]
    singles = [subject.result(pipe, number, **one) for number, one in enumerate(inputs)]
    lists = {name: [one[name] for one in inputs] for name in names}
    _assert_close(subject.result(pipe, 0, generator=_generators(), **lists), singles)


def repeats(subject: Subject) -> None:
    """Several results of the same inputs, with a generator for each, equal single calls."""
    assert subject.task.repeats is not None
    pipe = subject.load()
    singles = [subject.result(pipe, number) for number in (0, 1)]
    together = subject.result(pipe, 0, generator=_generators(), **{subject.task.repeats: 2})
    _assert_close(together, singles)


def _generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in (0, 1)]


def _assert_close(together: np.ndarray, singles: list[np.ndarray]) -> None:
    expected = np.concatenate(singles)
    assert together.shape == expected.shape
    assert np.abs(together - expected).max() <= BATCHED


def threads(subject: Subject) -> None:
    """Calls in several threads give bitwise what they give one after another."""
    pipe = subject.load()

    def run(number: int) -> np.ndarray:
        return subject.result(pipe, number, second=number % 2 == 1)

    serial = [run(number) for number in range(2 * THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        parallel = list(pool.map(run, range(2 * THREADS)))
    assert all(np.array_equal(one, other) for one, other in zip(serial, parallel))


def callback(subject: Subject) -> None:
    """`callback_on_step_end` gets what the class offers, and may change latents or skip steps."""
    pipe = subject.load()
    seen: list[int] = []
    offered = list(subject.cls._callback_tensor_inputs)
    taken = inspect.signature(subject.cls.__call__).parameters
    asked: dict[str, Any] = {}
    if "callback_on_step_end_tensor_inputs" in taken:
        asked = {"callback_on_step_end_tensor_inputs": offered}

    def watch(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(tensors["latents"], torch.Tensor)
        assert not asked or list(tensors) == offered
        seen.append(step)
        return tensors

    def change(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": tensors["latents"] + 1}

    def stop(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        seen.append(step)
        run._interrupt = True

    watched = subject.result(pipe, callback_on_step_end=watch, **asked)
    assert np.array_equal(watched, subject.result(pipe))
    changed = subject.result(pipe, callback_on_step_end=change)
    assert not np.array_equal(watched, changed), "latents that a callback returns must count"
    assert seen, "callback_on_step_end was not called"
    assert seen == list(range(len(seen)))
    seen.clear()
    subject.result(pipe, callback_on_step_end=stop)
    assert seen == [0], "a step was taken after run._interrupt = True"


def cancel(subject: Subject) -> None:
    """`pipe.cancel()` ends a running call by `CancelledError`; the pipeline stays usable."""
    pipe = subject.load()
    expected = subject.result(pipe)

    def give_up(module: nn.Module, arguments: Any) -> None:
        pipe.cancel()

    handle = nn.modules.module.register_module_forward_pre_hook(give_up)
    try:
        subject.result(pipe)
    except CancelledError:
        pass
    else:
        raise AssertionError("cancel() was ignored")
    finally:
        handle.remove()
    assert np.array_equal(subject.result(pipe), expected)


def copies(subject: Subject) -> None:
    """Copies by `copy.deepcopy` and by pickle give the same, with networks of their own."""
    pipe = subject.load()
    expected = subject.result(pipe)
    for made in (copy.deepcopy(pipe), pickle.loads(pickle.dumps(pipe))):
        shared = [n for n, one in networks_of(made.components).items() if one is pipe.components[n]]
        assert not shared, f"a copy shares {', '.join(shared)}"
        _assert_close(subject.result(made), [expected])


def progress(subject: Subject) -> None:
    """A call shows its progress, and nothing at all once that is disabled."""
    pipe = subject.load()
    silent, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
        subject.result(pipe)
    assert silent.getvalue() == ""
    pipe.set_progress_bar_config(disable=False)
    with contextlib.redirect_stderr(shown):
        subject.result(pipe)
    assert "%" in shown.getvalue(), "use self.progress_bar, or autopipe.pipeline.loop.denoise"
