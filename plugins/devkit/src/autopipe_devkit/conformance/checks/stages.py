"""Checks of a pipeline that serves no task by itself."""

from __future__ import annotations

import warnings

import numpy as np

from .. import traces
from ..subject import Subject


class NotCalledWarning(UserWarning):
    """Issued if there are no arguments to call a pipeline with."""


def call(subject: Subject) -> None:
    """With the author's `inputs`, a call is reproducible by its seed, and has no side effects."""
    name = subject.pipeline.name
    if not subject.can_be_called:
        warnings.warn(
            f"{name} was not called: it serves no task by itself, and inputs(pipeline) gives no "
            f"arguments for it",
            NotCalledWarning,
            stacklevel=2,
        )
        return
    pipe = subject.load()
    before = traces.of_pipeline(pipe)
    first, again = subject.result(pipe), subject.result(pipe)
    assert first.size, f"{name} made nothing"
    assert np.isfinite(first).all(), f"{name} makes values that aren't finite"
    assert np.array_equal(first, again), "the same seed gives another result"
    changed = traces.changes(before, traces.of_pipeline(pipe))
    assert not changed, f"a call changes {', '.join(changed)}"
