"""The older kind of callback."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import callback_inputs
from autopipe_components.steps.callbacks import older_callback


def test_the_older_callback_is_called_at_multiples_with_the_solver_step() -> None:
    calls: list[int] = []
    report = older_callback(lambda step, t, latents: calls.append(step), 3, order=2)
    assert report is not None
    for index in range(8):
        report(index, torch.tensor(0), torch.tensor(0))
    assert calls == [0, 1, 3]
    assert older_callback(None, 3, order=1) is None


@pytest.mark.parametrize("interval", [0, -1, 1.5, "2", True])
def test_the_older_callback_needs_a_positive_interval(interval: Any) -> None:
    with pytest.raises(ArgumentError, match="callback_steps"):
        older_callback(None, interval, order=1)


def test_a_callback_may_list_what_it_gets() -> None:
    def listing(tensor_inputs: Any) -> Any:
        def callback(*step: Any) -> None:
            pass

        callback.tensor_inputs = tensor_inputs  # type: ignore[attr-defined]
        return callback

    assert callback_inputs(listing(["latents", "mask"]), ["mask"]) == ("latents", "mask")
    # What isn't a list of names has nothing to do with us, such as attributes of a mock.
    for other in (None, 5, "latents", [], Mock(), object()):
        assert callback_inputs(listing(other), ["mask"]) == ("mask",)
    assert callback_inputs(Mock(), None) == ()
    assert callback_inputs(None, ["latents"]) == ("latents",)
