"""Calls that can't fit: refused at once, whatever the size of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe.placement import budget

from .record import parameters_of
from .values import Accepted, bounded


def check_refuses_what_cannot_fit(pipe: Any, call: Mapping[str, Any]) -> None:
    """Huge pictures, and huge numbers of small ones, are refused with the figure, unless asked.

    The networks of tests are tiny, so the machine is made as much smaller.
    """
    takes = parameters_of(type(pipe))
    changes: list[dict[str, Any]] = [{"num_images_per_prompt": 10**6}]
    if "height" in takes:
        changes.append({"height": 100_000, "width": 100_000})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "whole_memory", lambda device: 10**8)
        patch.setattr(torch.nn.Module, "__call__", _accepted)
        for change in changes:
            with bounded(), pytest.raises(ArgumentError, match=r"would take about .*B.*100 MB"):
                pipe(**{**call, **change})
        for lifted in ({}, {"check_memory": False, "num_images_per_prompt": 2}):
            with pytest.raises(Accepted):
                pipe(**{**call, **lifted})
        patch.setattr(budget, "whole_memory", lambda device: 1)
        with pytest.raises(ArgumentError, match="check_memory=False"):
            pipe(**call)
        with pytest.raises(Accepted):
            pipe(**call, check_memory=False)


def _accepted(self: Any, *args: Any, **kwargs: Any) -> None:
    raise Accepted
