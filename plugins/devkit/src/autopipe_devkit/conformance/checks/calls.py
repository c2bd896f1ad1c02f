"""Checks of calls: reproducible, independent of each other, observable, and cancellable."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
from typing import Any

import numpy as np
import torch
from torch import nn

from autopipe.errors import CancelledError
from autopipe.placement.base import networks_of

from .. import traces
from ..samples import KNOWN, batched, generators
from ..subject import Subject

BATCHED = 1e-4
"""The largest difference through float32 rounding over a few layers. Sums have another order in a
batch, and in a copy, whose weights are aligned differently in memory."""


def seed(subject: Subject) -> None:
    """The same seed gives the same result, another seed another one; a call has no side effects.

    A second call with the same generator object continues its random sequence.
    """
    pipe = subject.load()
    before = traces.of_pipeline(pipe)
    first, again, other = (subject.result(pipe, seed=number) for number in (1, 1, 2))
    assert np.array_equal(first, again), "the same seed gives another result"
    assert not np.array_equal(first, other), "another seed gives the same result"
    generator = torch.Generator().manual_seed(1)
    one, following = (subject.result(pipe, generator=generator) for _ in range(2))
    assert not np.array_equal(one, following), (
        "a call draws nothing from its generator itself: a second call with the same object "
        "gives the same result"
    )
    changed = traces.changes(before, traces.of_pipeline(pipe))
    assert not changed, f"a call changes {', '.join(changed)}"


def batch(subject: Subject) -> None:
    """A batch with a generator for each input gives the same results as single calls."""
    pipe = subject.load()
    names = batched(subject.task)
    given = [subject.arguments(second=second) for second in (False, True)]
    inputs = [{name: one[name] for name in names} for one in given]
    singles = [subject.result(pipe, number, **one) for number, one in enumerate(inputs)]
    lists = {name: [one[name] for one in inputs] for name in names}
    _assert_close(subject.result(pipe, 0, generator=generators(0, 1), **lists), singles)


def repeats(subject: Subject) -> None:
    """Several results per input, with a generator for each, are the same as those of single calls.

    With a list of prompts, the results of one prompt are adjacent.
    """
    assert subject.task.repeats is not None
    pipe = subject.load()
    singles = [subject.result(pipe, number) for number in (0, 1)]
    together = subject.result(pipe, 0, generator=generators(0, 1), **{subject.task.repeats: 2})
    _assert_close(together, singles)
    prompts = _pairs_of_prompts(subject)
    if prompts:
        each: list[dict[str, Any]] = [
            {name: two[number // 2] for name, two in prompts.items()} for number in range(4)
        ]
        singles = [subject.result(pipe, number, **one) for number, one in enumerate(each)]
        lists: dict[str, Any] = {
            **prompts,
            "generator": generators(*range(4)),
            subject.task.repeats: 2,
        }
        together = subject.result(pipe, 0, **lists)
        _assert_close(together, singles, "of two prompts, two each: those of one come together: ")


def _pairs_of_prompts(subject: Subject) -> dict[str, list[Any]]:
    """Return lists of two prompts, and of two negative prompts if calls take them."""
    others = subject.alternatives()
    texts = {**{name: values[0] for name, values in KNOWN.items()}, **subject.arguments()}
    names = [one.name for one in subject.task.inputs if one.kind == "text"]
    if names and "negative_prompt" in subject.taken:
        names.append("negative_prompt")
    return {name: [texts[name], others[name]] for name in names if name in texts and name in others}


def _assert_close(together: np.ndarray, singles: list[np.ndarray], which: str = "") -> None:
    expected = np.concatenate(singles)
    assert together.shape == expected.shape, (
        f"{which}results of shape {together.shape} where single calls make {expected.shape}"
    )
    apart = np.abs(together - expected).max()
    assert apart <= BATCHED, f"{which}results are up to {apart:.2g} away from those of single calls"


def cancel(subject: Subject) -> None:
    """`pipe.cancel()` ends a running call with `CancelledError`; the pipeline stays usable."""
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
    assert np.array_equal(subject.result(pipe), expected), "a cancelled call leaves a trace"


def copies(subject: Subject) -> None:
    """Copies by `copy.deepcopy` and by pickle give the same results and share no networks."""
    pipe = subject.load()
    expected = subject.result(pipe)
    for made in (copy.deepcopy(pipe), pickle.loads(pickle.dumps(pipe))):
        shared = [n for n, one in networks_of(made.components).items() if one is pipe.components[n]]
        assert not shared, f"a copy shares {', '.join(shared)}"
        _assert_close(subject.result(made), [expected])


def progress(subject: Subject) -> None:
    """A call shows a progress bar, and prints nothing if that is disabled."""
    pipe = subject.load()
    silent, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
        subject.result(pipe)
    assert silent.getvalue() == "", "a call prints something although its progress is disabled"
    pipe.set_progress_bar_config(disable=False)
    with contextlib.redirect_stderr(shown):
        subject.result(pipe)
    assert "%" in shown.getvalue(), "use self.progress_bar, or autopipe.pipeline.loop.denoise"
