"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

ONE_SOURCE = "as in diffusers, later steps draw for all images from the first generator of a list"
EXPECTED = {
    "repeats-ScoreSdeVePipeline": "as in diffusers, the batch shares the length of corrections",
    "batch-RePaintPipeline": ONE_SOURCE,
    "steps-RePaintPipeline": "with jumps back there are more steps than levels of noise",
    "abilities-RePaintPipeline.batch": ONE_SOURCE,
}

SMALLER: dict[str, dict[str, Any]] = {
    "DanceDiffusionPipeline": {
        "sample_size": 8,
        "block_out_channels": (32,),
        "down_block_types": ("DownBlock1DNoSkip",),
        "up_block_types": ("UpBlock1DNoSkip",),
    },
    "DiTPipeline": {"num_layers": 1},
}
"""Changes of the configs of other networks than `UNet2DModel`, which make calls faster."""


class TestConformance(Conformance):
    family = "unconditional"
    size = (8, 8)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        def made(pipeline: Pipeline) -> Any:
            # With classes, because the labels of calls are among what is checked.
            classes = {"num_class_embeds": 3}
            return build(getattr(autopipe, pipeline.name), **SMALLER.get(pipeline.name, classes))

        return made

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {"class_labels": (0, 2)}
