"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autopipe import StableDiffusionPipeline
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

MASKED = "as in diffusers, a callback is offered them also where the network doesn't see the mask"
EXPECTED = {
    "replacing-StableDiffusionInpaintPipeline.masked_image_latents": MASKED,
    "repeats-StableDiffusionInpaintPipeline": (
        "as in diffusers, of several pictures from one image only the first generator draws for "
        "encoding it"
    ),
}
SAMPLES = {"guidance_rescale": (0.0, 0.7), "clip_skip": (None, 1)}


class TestConformance(Conformance):
    family = "stable_diffusion"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build(StableDiffusionPipeline)

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return SAMPLES
