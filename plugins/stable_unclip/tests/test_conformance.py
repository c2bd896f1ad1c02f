"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

EXPECTED = {
    "repeats-StableUnCLIPImg2ImgPipeline": (
        "as in diffusers, of several pictures from one image only the first generator draws the "
        "noise of its embedding"
    ),
}


class TestConformance(Conformance):
    family = "stable_unclip"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return lambda pipeline: build(getattr(autopipe, pipeline.name))

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {
            "clip_skip": (None, 1),
            "noise_level": (0, 400),
            "prior_guidance_scale": (4.0, 2.0),
            "prior_num_inference_steps": (2, 3),
        }
