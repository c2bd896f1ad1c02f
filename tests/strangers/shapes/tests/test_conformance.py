"""What every family promises, checked for this one."""

from importlib.resources import files
from typing import Any

import pytest

from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "shapes"
    size = (16, 16)

    @pytest.fixture
    def checkpoint(self) -> dict[str, str]:
        edit = str(files("autopipe_shapes") / "demo_edit")
        return {"shapes": "demo:shapes", "shapes_edit": edit}

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        # At the scales of the task's samples the network sees nothing but the prompt.
        return {"guidance_scale": 1.0} if pipeline.name == "ShapesEditPipeline" else {}
