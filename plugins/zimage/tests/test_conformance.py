"""What every family promises, checked for this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

SOURCES = (
    "as in diffusers, of several pictures from one only the first generator draws for encoding it"
)
EXPECTED = {
    "guidance": "as in diffusers, every scale above 0 guides, and 0 turns guidance off",
    "repeats-ZImageImg2ImgPipeline": SOURCES,
    "repeats-ZImageInpaintPipeline": SOURCES,
    "replacing-ZImageInpaintPipeline.masked_image_latents": (
        "as in diffusers, a callback is offered them, and the network doesn't see the mask"
    ),
}


class TestConformance(Conformance):
    family = "zimage"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, folder: Path) -> Path:
        return folder

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        return {"height": 16, "width": 16}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {
            "negative_prompt": ("a cat", "a green square"),
            "cfg_normalization": (False, 0.5),
            "cfg_truncation": (1.0, 0.1),
            "max_sequence_length": (512, 8),
        }
