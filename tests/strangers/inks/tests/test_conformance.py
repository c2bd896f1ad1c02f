"""What every plugin promises, checked for this one."""

from typing import Any, ClassVar

import pytest

from autopipe import AutoPipelineForUnconditional
from autopipe_devkit.conformance import Conformance
from autopipe_inks.network import SketchNetwork


class TestConformance(Conformance):
    family = "inks"
    expected_failures: ClassVar = {"commands": "smudge is broken, to show that it harms no other"}

    @pytest.fixture
    def checkpoint(self) -> Any:
        sketch = SketchNetwork.from_pretrained("demo:inks")
        return AutoPipelineForUnconditional.from_pretrained("demo:shapes", sketch=sketch)
