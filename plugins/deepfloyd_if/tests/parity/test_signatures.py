"""Names, order and defaults of parameters are those of diffusers; ours come after, by keyword."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import autopipe

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

NAMES = (
    "IFPipeline",
    "IFImg2ImgPipeline",
    "IFInpaintingPipeline",
    "IFSuperResolutionPipeline",
    "IFImg2ImgSuperResolutionPipeline",
    "IFInpaintingSuperResolutionPipeline",
)


def parameters(function: Any) -> dict[str, Any]:
    """Those that a caller may pass by position."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["__init__", "__call__", "encode_prompt"])
def test_signatures(name: str, method: str) -> None:
    ours = parameters(getattr(getattr(autopipe, name), method))
    theirs = parameters(getattr(getattr(diffusers, name), method))
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("name", NAMES)
def test_declarations(name: str) -> None:
    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    # One of the reference's classes, only, can't do without a watermarker.
    optional = [one for one in ours._optional_components if one != "watermarker"]
    assert optional == [one for one in theirs._optional_components if one != "watermarker"]
    assert list(ours._exclude_from_cpu_offload) == list(theirs._exclude_from_cpu_offload)
    assert ours.model_cpu_offload_seq == theirs.model_cpu_offload_seq


def test_the_output() -> None:
    from diffusers.pipelines.deepfloyd_if import IFPipelineOutput

    fields = list(inspect.signature(IFPipelineOutput).parameters)
    assert list(inspect.signature(autopipe.IFPipelineOutput).parameters) == fields


def test_published_schedules() -> None:
    from diffusers.pipelines.deepfloyd_if import timesteps as theirs

    from autopipe_deepfloyd_if import timesteps as ours

    names = [name for name in vars(theirs) if name.endswith("_timesteps")]
    assert len(names) == 8
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name)
