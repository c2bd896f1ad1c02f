"""Constructors and calls take what those of the reference take, in its order, with its defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import autopipe
from autopipe.registry import default_registry

from ..conftest import needs

pytestmark = pytest.mark.parity

CLASSES = [
    pytest.param(pipeline.name, marks=needs(str(pipeline.line)))
    for pipeline in default_registry().families["controlnet"].pipelines
]


def positional(function: Any) -> dict[str, Any]:
    return {
        name: list(p.default) if isinstance(p.default, tuple) else p.default
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    }


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("method", ["__init__", "__call__"])
def test_parameters(name: str, method: str) -> None:
    import diffusers

    ours, theirs = (
        positional(getattr(getattr(module, name), method)) for module in (autopipe, diffusers)
    )
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("name", CLASSES)
def test_what_classes_declare(name: str) -> None:
    import diffusers

    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    assert set(ours._optional_components) == set(theirs._optional_components)
    assert set(ours._callback_tensor_inputs) >= set(theirs._callback_tensor_inputs)
    assert set(ours._exclude_from_cpu_offload) == set(theirs._exclude_from_cpu_offload)


def test_networks() -> None:
    import diffusers

    for name in ("ControlNetModel", "MultiControlNetModel"):
        ours, theirs = (getattr(module, name).forward for module in (autopipe, diffusers))
        assert positional(ours) == positional(theirs)
    ours, theirs = (m.ControlNetModel.from_unet for m in (autopipe, diffusers))
    assert positional(ours) == {
        k: list(v) if isinstance(v, tuple) else v for k, v in positional(theirs).items()
    }
