"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "unclip"
    size = (16, 16)

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return lambda pipeline: build(getattr(autopipe, pipeline.name))

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        prior = {"prior_num_inference_steps": 2} if pipeline.name == "UnCLIPPipeline" else {}
        return {"super_res_num_inference_steps": 2, **prior}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {"prior_guidance_scale": (4.0, 2.0), "super_res_num_inference_steps": (2, 3)}
