"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

from .conftest import STAGE_2


class TestConformance(Conformance):
    family = "deepfloyd_if"
    size = (16, 16)
    expected_failures = {  # noqa: RUF012
        "tensors": "as in diffusers, they are in [-1, 1], since the next stage takes them so"
    }

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> dict[str, Any]:
        names = (p.name for p in autopipe.registry.families[self.family].pipelines)
        return {name: build(getattr(autopipe, name)) for name in names}

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        if pipeline.task is not None:
            return {}
        return {"prompt": "a red cat", "num_inference_steps": 3, **STAGE_2[pipeline.name]}
