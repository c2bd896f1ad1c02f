"""What every family promises, checked for this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

SAMPLES = {
    "prompt_2": (None, "a blue star"),
    "negative_prompt": ("a cat", "a green square"),
    "negative_prompt_2": (None, "a green square"),
    "true_cfg_scale": (3.0, 1.5),
    "guidance_scale": (3.5, 30.0),
    "max_sequence_length": (16, 8),
}

SOURCES = (
    "as in diffusers, of several pictures from one only the first generator draws for encoding it"
)
EXPECTED = {
    "guidance": (
        "the guidance scale is an input of the network; true_cfg_scale turns the negative prompt on"
    ),
    "repeats-FluxImg2ImgPipeline": SOURCES,
    "repeats-FluxInpaintPipeline": SOURCES,
}


class TestConformance(Conformance):
    family = "flux"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, saved: Path) -> Path:
        return saved

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        # The default is 128 cells of latents, whatever the checkpoint.
        return {"height": 16, "width": 16}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return SAMPLES
