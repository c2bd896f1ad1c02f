"""What every family and every engine promises, checked for these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

import autopipe_onnx.session
from autopipe import NetworkEngine
from autopipe.manifest import Pipeline
from autopipe.tasks import Task
from autopipe_devkit.conformance import Conformance, EngineConformance
from autopipe_onnx.engine import OnnxRuntime

from .conftest import SIDE

COUNTED = "the kit counts and interrupts calls of torch's networks, and these are not"
EXPECTED = {
    f"{check}-OnnxStableDiffusion{task}Pipeline": COUNTED
    for task in ("", "Img2Img", "Inpaint")
    for check in ("cancel", "steps", "guidance", "strength" if task else "latents")
} | {
    "replacing-OnnxStableDiffusionInpaintPipeline.masked_image_latents": (
        "as in diffusers, a callback is offered them also where the network doesn't see the mask"
    )
}


class TestConformance(Conformance):
    family = "onnx"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, saved: Callable[[str], Path]) -> Any:
        return saved("")

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        """The training resolution, since the default of calls is that of Stable Diffusion 1.5."""
        return {} if pipeline.task == Task.IMAGE2IMAGE else {"height": SIDE, "width": SIDE}

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leave out the optimisation of graphs, which takes longer than these run."""
        made = autopipe_onnx.session.session_options

        def options() -> Any:
            found = made()
            found.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            return found

        monkeypatch.setattr(autopipe_onnx.session, "session_options", options)


class TestEngine(EngineConformance):
    engine = "onnx"

    def make(self) -> NetworkEngine:
        return OnnxRuntime()
