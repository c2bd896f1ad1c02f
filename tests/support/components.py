"""Calls with absent components, and with components of different dtypes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from autopipe.errors import AutopipeError


class Used(Exception):
    """Raised when a network is called."""


def needed_of(kind: Any, build: Callable[..., Any], call: Mapping[str, Any]) -> set[str]:
    """Return the components without which `call` is refused, removing each in turn.

    Check that the error names the component and is raised before any network is called, and that
    the call works without a component that is not needed.
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
        # Tokenizers and text encoders are recognised by a part of the name.
        said = name.removeprefix("prior_").partition("_2")[0]
        assert said in str(caught.value).replace("text encoder", "text_encoder"), caught.value
        found.add(name)
    return found


def _used(self: Any, *args: Any, **kwargs: Any) -> None:
    raise Used


def check_dtypes(kind: Any, build: Callable[..., Any], call: Mapping[str, Any]) -> int:
    """Call a pipeline with each network in turn in bfloat16, and the others in float32.

    Returns:
        The number of networks.
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
