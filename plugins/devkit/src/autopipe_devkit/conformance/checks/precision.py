"""Checks of half precision."""

from __future__ import annotations

import numpy as np
import torch

from autopipe.errors import AutopipeError
from autopipe.wording import error_summary

from .. import traces
from ..subject import Subject
from ..verdict import sentence_of

APART = 2.0
"""The largest difference between half and full precision, relative to that between two seeds. It
may exceed 1, since a seed may give different noise in another dtype."""

LEAST = 0.05
"""A difference of values in [0, 1] that is always allowed in half precision."""

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def half(subject: Subject) -> None:
    """A call in bfloat16 or float16 gives finite values close to those of float32, or is refused.

    The refusal is one of `autopipe.errors`. A call that works changes neither the dtype of the
    networks nor the state of the process.
    """
    full = subject.load()
    expected, other = subject.result(full), subject.result(full, seed=1)
    faults = {}
    for name, dtype in DTYPES.items():
        try:
            subject.notes.abilities[name] = _ability(subject, name, dtype, expected, other)
        except AssertionError as error:
            faults[name] = sentence_of(error)
            subject.notes.abilities[name] = "no: it fails"
    subject.judge(faults)


def _ability(
    subject: Subject, name: str, dtype: torch.dtype, expected: np.ndarray, other: np.ndarray
) -> str:
    """Return "yes", or "no: " or "not on this CPU: " and why calls in `dtype` are refused."""
    try:
        pipe = subject.load(torch_dtype=dtype)
        before = traces.dtypes(pipe)
        floats = [kind for kind in before.values() if kind.is_floating_point]
        assert dtype in floats or not floats, f"loaded as {name}, no network is {name}"
        with traces.restored():
            process = traces.of_process()
            made = subject.result(pipe)
            changed = traces.changes(process, traces.of_process())
    except AutopipeError as error:
        return f"no: {error_summary(error)}"
    except (RuntimeError, TypeError, ValueError) as error:
        if "not implemented for" in str(error):
            return f"not on this CPU: {error_summary(error)}"
        raise AssertionError(
            f"a call in {name} ends with {error_summary(error)}; it must work, or be refused by "
            f"one of autopipe.errors"
        ) from error
    assert not changed, f"a call in {name} changes {', '.join(changed)}"
    assert traces.dtypes(pipe) == before, f"a call in {name} changes the dtype of a network"
    assert np.isfinite(made).all(), f"a call in {name} makes values that aren't finite"
    assert made.shape == expected.shape, (
        f"in {name} results are of shape {made.shape}, and of {expected.shape} in float32"
    )
    allowed = max(LEAST, APART * float(np.abs(expected - other).mean()))
    apart = float(np.abs(made - expected).mean())
    assert apart <= allowed, (
        f"in {name} results are {apart:.2g} away from those in float32 on average, and those of "
        f"two seeds {np.abs(expected - other).mean():.2g} from each other"
    )
    return "yes"
