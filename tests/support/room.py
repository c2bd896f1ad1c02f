"""Checks that calls that can't fit in memory are refused at once, on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe.placement import room

from .record import parameters_of
from .values import Accepted, bounded


def check_refuses_what_cannot_fit(pipe: Any, call: Mapping[str, Any]) -> None:
    """Check that huge pictures and huge batches are refused, unless `check_memory=False`.

    The error states the estimated size. Since the networks of tests are tiny, the memory of the
    machine is patched to be small as well.
    """
    takes = parameters_of(type(pipe))
    changes: list[dict[str, Any]] = [{"num_images_per_prompt": 10**6}]
    if "height" in takes:
        changes.append({"height": 100_000, "width": 100_000})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "whole_memory", lambda device: 10**8)
        patch.setattr(torch.nn.Module, "__call__", _accepted)
        for change in changes:
            with bounded(), pytest.raises(ArgumentError, match=r"would take about .*B.*100 MB"):
                pipe(**{**call, **change})
        for lifted in ({}, {"check_memory": False, "num_images_per_prompt": 2}):
            with pytest.raises(Accepted):
                pipe(**{**call, **lifted})
        patch.setattr(room, "whole_memory", lambda device: 1)
        with pytest.raises(ArgumentError, match="check_memory=False"):
            pipe(**call)
        with pytest.raises(Accepted):
            pipe(**call, check_memory=False)


def _accepted(self: Any, *args: Any, **kwargs: Any) -> None:
    raise Accepted
