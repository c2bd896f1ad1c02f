"""What every family promises, checked for pipelines in the onnx layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopipe_devkit.conformance import Conformance

COUNTED = "the kit counts and interrupts calls of torch's networks, and these are not"
TASKS = ("", "Img2Img", "Inpaint")
EXPECTED = {
    f"{check}-OnnxStableDiffusion{task}Pipeline": COUNTED
    for task in TASKS
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
