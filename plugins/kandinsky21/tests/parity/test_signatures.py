"""Names, order and defaults of parameters are those of diffusers; ours come after."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import autopipe
from autopipe.registry import default_registry

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

NAMES = [p.name for p in default_registry().families["kandinsky21"].pipelines]


def parameters(function: Any) -> dict[str, Any]:
    """Those that a caller may pass by position, with lists made tuples."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            default = parameter.default
            found[name] = tuple(default) if isinstance(default, list) else default
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["__init__", "__call__", "interpolate"])
def test_signatures(name: str, method: str) -> None:
    if method == "interpolate" and "Prior" not in name:
        pytest.skip("only priors interpolate")
    ours = parameters(getattr(getattr(autopipe, name), method))
    theirs = parameters(getattr(getattr(diffusers, name), method))
    assert list(ours)[: len(theirs)] == list(theirs)
    assert {parameter: ours[parameter] for parameter in theirs} == theirs


@pytest.mark.parametrize("name", NAMES)
def test_declarations(name: str) -> None:
    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    assert ours.model_cpu_offload_seq == theirs.model_cpu_offload_seq
    assert list(ours._exclude_from_cpu_offload) == list(theirs._exclude_from_cpu_offload)
    assert list(ours._optional_components) == list(theirs._optional_components)
    shown = getattr(theirs, "_callback_tensor_inputs", ())
    assert list(ours._callback_tensor_inputs)[: len(shown)] == list(shown)
