"""Checks of calls: repeatable, independent of each other, to be watched and to be stopped."""

from __future__ import annotations

import contextlib
import copy
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from autopipe.errors import CancelledError
from autopipe.pipeline.base import DiffusionPipeline

from ..subject import Subject

BATCHED = 1e-4
"""In a batch the same numbers are summed in another order, in float32, over a few layers."""

THREADS = 4


def seed(subject: Subject) -> None:
    """The same seed is the same picture, another one is another, and a call leaves no trace."""
    pipe = subject.load()
    before = _state(pipe)
    first, again, other = (subject.images(pipe, seed=number) for number in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert _state(pipe) == before, "a call must not change its pipeline"


def _state(pipe: DiffusionPipeline) -> dict[str, Any]:
    """What a call might change: attributes, and those of the scheduler."""
    scheduler = getattr(pipe, "scheduler", None)
    state = {name: id(value) for name, value in pipe.__dict__.items()}
    return {**state, "scheduler's": repr(copy.copy(getattr(scheduler, "__dict__", None)))}


def batch(subject: Subject) -> None:
    """A batch of prompts, with a picture and a generator for each, equals its singles."""
    pipe = subject.load()
    prompts = ["a red circle", "a blue star"]
    given = subject.arguments()
    pictures: dict[str, Any] = {
        name: [given[name]] * 2 for name in ("image", "mask_image") if name in given
    }
    singles = [subject.images(pipe, number, prompt=prompt) for number, prompt in enumerate(prompts)]
    together = subject.images(pipe, prompt=prompts, generator=_generators(), **pictures)
    _assert_close(together, singles)


def repeats(subject: Subject) -> None:
    """`num_images_per_prompt`, with a generator for each picture, equals single calls."""
    pipe = subject.load()
    singles = [subject.images(pipe, number) for number in (0, 1)]
    together = subject.images(pipe, num_images_per_prompt=2, generator=_generators())
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
    jobs = [
        subject.arguments()["num_inference_steps"] + number % 2 for number in range(2 * THREADS)
    ]

    def run(job: tuple[int, int]) -> np.ndarray:
        number, steps = job
        return subject.images(pipe, number, num_inference_steps=steps)

    serial = [run(job) for job in enumerate(jobs)]
    with ThreadPoolExecutor(THREADS) as pool:
        parallel = list(pool.map(run, enumerate(jobs)))
    assert all(np.array_equal(one, other) for one, other in zip(serial, parallel))


def callback(subject: Subject) -> None:
    """`callback_on_step_end` is called for each step with the latents, and may skip the rest."""
    pipe = subject.load()
    seen: list[int] = []

    def watch(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(tensors["latents"], torch.Tensor)
        seen.append(step)
        return {}

    def stop(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        seen.append(step)
        run._interrupt = True

    watched = subject.images(pipe, callback_on_step_end=watch)
    assert np.array_equal(watched, subject.images(pipe))
    assert seen, "callback_on_step_end was not called"
    assert seen == list(range(len(seen)))
    seen.clear()
    subject.images(pipe, callback_on_step_end=stop)
    assert seen == [0], "a step was taken after run._interrupt = True"


def cancel(subject: Subject) -> None:
    """`pipe.cancel()` ends a running call by `CancelledError`; the pipeline stays usable."""
    pipe = subject.load()
    expected = subject.images(pipe)

    def give_up(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        pipe.cancel()

    try:
        subject.images(pipe, callback_on_step_end=give_up)
    except CancelledError:
        pass
    else:
        raise AssertionError("cancel() was ignored")
    assert np.array_equal(subject.images(pipe), expected)


def progress(subject: Subject) -> None:
    """A call shows its progress, and nothing at all once that is disabled."""
    pipe = subject.load()
    silent, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
        subject.images(pipe)
    assert silent.getvalue() == ""
    pipe.set_progress_bar_config(disable=False)
    with contextlib.redirect_stderr(shown):
        subject.images(pipe)
    assert "%" in shown.getvalue(), "use self.progress_bar, or autopipe.pipeline.loop.denoise"
