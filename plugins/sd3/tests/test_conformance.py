"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autopipe import StableDiffusion3Pipeline
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

MASKED = "as in other families, a callback is offered them also where no network sees the mask"
EXPECTED = {
    "replacing-StableDiffusion3InpaintPipeline.masked_image_latents": MASKED,
    "repeats-StableDiffusion3InpaintPipeline": (
        "as in diffusers, of several pictures from one image only the first generator draws for "
        "encoding it"
    ),
}
SAMPLES = {
    "prompt_2": (None, "a blue star"),
    "prompt_3": (None, "a photo of a dog"),
    "negative_prompt": ("a cat", "a green square"),
    "negative_prompt_2": (None, "a green square"),
    "negative_prompt_3": (None, "low quality"),
    "clip_skip": (None, 1),
    "max_sequence_length": (24, 20),
    "skip_guidance_layers": ([1], None),
    "skip_layer_guidance_scale": (2.8, 0.5),
    "skip_layer_guidance_stop": (1.0, 0.2),
    "skip_layer_guidance_start": (0.01, 0.9),
}


class TestConformance(Conformance):
    family = "sd3"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build(StableDiffusion3Pipeline)

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return SAMPLES
