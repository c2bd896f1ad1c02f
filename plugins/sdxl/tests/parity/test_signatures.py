"""Names, order and defaults of parameters are those of diffusers; ours come after, by keyword."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import autopipe

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

NAMES = ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline",
         "StableDiffusionXLInpaintPipeline")  # fmt: skip


def parameters(function: Any) -> dict[str, Any]:
    """Those that a caller may pass by position, with lists made tuples."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            default = parameter.default
            found[name] = tuple(default) if isinstance(default, list) else default
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["__init__", "__call__", "encode_prompt"])
def test_signatures(name: str, method: str) -> None:
    ours = parameters(getattr(getattr(autopipe, name), method))
    theirs = parameters(getattr(getattr(diffusers, name), method))
    assert list(ours) == list(theirs)
    for parameter, default in theirs.items():
        # A prompt may be left out of ours, since embeddings stand in for it.
        assert ours[parameter] == default or (method, parameter) == ("encode_prompt", "prompt")


@pytest.mark.parametrize("name", NAMES)
def test_declarations(name: str) -> None:
    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    assert list(ours._callback_tensor_inputs) == list(theirs._callback_tensor_inputs)
    assert list(ours._optional_components) == list(theirs._optional_components)
    assert ours.model_cpu_offload_seq == theirs.model_cpu_offload_seq
