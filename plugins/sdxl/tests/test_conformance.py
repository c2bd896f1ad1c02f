"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autopipe import StableDiffusionXLPipeline
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

MASKED = "as in diffusers, a callback is offered them also where the network doesn't see the mask"
EXPECTED = {
    "replacing-StableDiffusionXLInpaintPipeline.masked_image_latents": MASKED,
    "repeats-StableDiffusionXLInpaintPipeline": (
        "as in diffusers, of several pictures from one image only the first generator draws for "
        "encoding it"
    ),
}
SAMPLES = {
    "prompt_2": (None, "a blue star"),
    "negative_prompt": ("a cat", "a green square"),
    "negative_prompt_2": (None, "a green square"),
    "guidance_rescale": (0.0, 0.7),
    "clip_skip": (None, 1),
    "denoising_end": (None, 0.5),
    "original_size": (None, (8, 24)),
    "target_size": (None, (8, 24)),
    "crops_coords_top_left": ((0, 0), (8, 0)),
}


class TestConformance(Conformance):
    family = "sdxl"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build(StableDiffusionXLPipeline)

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return SAMPLES
