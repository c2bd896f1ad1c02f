"""What every family and every engine promises, checked for these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopipe.registry import default_registry
from autopipe_devkit.conformance import Conformance, EngineConformance
from autopipe_devkit.conformance.suite import implied

COUNTED = "the kit counts and interrupts calls of torch's networks, and these are not"
EXPECTED = {
    f"{check}-OnnxStableDiffusionPipeline": COUNTED
    for check in ("cancel", "steps", "guidance", "latents")
}


class TestConformance(Conformance):
    family = "onnx"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, saved: Callable[[str], Path]) -> Any:
        return saved("")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Leave out the other tasks, whose steps are those of Stable Diffusion: it takes long."""
        if "check" in metafunc.fixturenames:
            every = implied(default_registry().families.get(self.family))
            names = [one for one in every if "Img2Img" not in one and "Inpaint" not in one]
            metafunc.parametrize("check", [self._parameter(name) for name in names])


class TestEngine(EngineConformance):
    engine = "onnx"
