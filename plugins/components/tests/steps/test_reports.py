"""The older kind of callback."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.steps.reports import every


def test_the_older_callback_is_called_at_multiples_with_the_solver_step() -> None:
    calls: list[int] = []
    report = every(lambda step, t, latents: calls.append(step), 3, order=2)
    assert report is not None
    for index in range(8):
        report(index, torch.tensor(0), torch.tensor(0))
    assert calls == [0, 1, 3]
    assert every(None, 3, order=1) is None


@pytest.mark.parametrize("interval", [0, -1, 1.5, "2", True])
def test_the_older_callback_needs_a_positive_interval(interval: Any) -> None:
    with pytest.raises(ArgumentError, match="callback_steps"):
        every(None, interval, order=1)
