"""What a call needs of its components, and what they are: absent ones, and ones of other dtypes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from autopipe.errors import AutopipeError


class Used(Exception):
    """A network was about to compute."""


def needed_of(kind: Any, build: Callable[..., Any], call: Mapping[str, Any]) -> set[str]:
    """The components without which `call` is refused, each taken away in turn.

    The refusal names the component, and comes before any network computes. Without one that is
    not needed the call works.
    """
    found = set()
    for name in kind.module_names():
        pipe = build(kind, **{name: None})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.Module, "__call__", _used)
            with pytest.raises((AutopipeError, Used)) as caught:
                pipe(**call)
        if caught.type is Used:
            pipe(**call)
            continue
        # What reads texts is told by that.
        said = name.removeprefix("prior_").partition("_2")[0]
        assert said in str(caught.value).replace("text encoder", "text_encoder"), caught.value
        found.add(name)
    return found


def _used(self: Any, *args: Any, **kwargs: Any) -> None:
    raise Used


def check_dtypes(kind: Any, build: Callable[..., Any], call: Mapping[str, Any]) -> int:
    """Call a pipeline with each of its networks in turn in bfloat16, the others in float32.

    Returns:
        How many there are.
    """
    networks = {
        name: one
        for name, one in build(kind).components.items()
        if isinstance(one, torch.nn.Module) and any(True for _ in one.parameters())
    }
    for name, network in networks.items():
        half = copy.deepcopy(network).to(torch.bfloat16)
        output = build(kind, **{name: half})(**call)
        first = next(iter(vars(output).values()))
        assert first.isfinite().all(), name
        assert half.dtype == torch.bfloat16
    return len(networks)
