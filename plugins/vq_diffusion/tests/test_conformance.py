"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "vq_diffusion"
    size = (8, 8)

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build(autopipe.VQDiffusionPipeline)

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        return {"height": 8, "width": 8}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {"truncation_rate": (1.0, 0.3)}
