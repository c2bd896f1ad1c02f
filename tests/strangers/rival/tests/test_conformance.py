"""What every family promises, checked for this one, where `autopipe-shapes` is not installed."""

from typing import Any

import pytest

from autopipe import DiffusionPipeline
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance
from autopipe_rival.pipeline import ShapesPipeline


class TestConformance(Conformance):
    family = "rival"

    @pytest.fixture
    def checkpoint(self) -> dict[str, Any]:
        rival = DiffusionPipeline.from_pretrained("demo:rival")
        return {"RivalPipeline": rival, "ShapesPipeline": ShapesPipeline(**rival.components)}

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        return {} if pipeline.task else {"num_inference_steps": 2}
