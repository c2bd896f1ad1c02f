"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.image_embeddings import stage_call

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

EXPECTED = {
    f"tensors-{name}": "as in diffusers, they are pixels in [-1, 1]"
    for name in ("KandinskyCombinedPipeline", "KandinskyInpaintCombinedPipeline")
}
EXPECTED["mask-KandinskyInpaintCombinedPipeline"] = (
    "as in diffusers, the U-Net is given the mask and what is around it, and keeps that by itself"
)
EXPECTED |= {
    f"repeats-Kandinsky{kind}CombinedPipeline": (
        "as in diffusers, the list of prompts is repeated as a whole for the decoder, whereas the "
        "embeddings of one prompt are together"
    )
    for kind in ("", "Img2Img", "Inpaint")
}


class TestConformance(Conformance):
    family = "kandinsky21"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return lambda pipeline: build(getattr(autopipe, pipeline.name))

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        if pipeline.task is None or pipeline.opens_as is not None:
            return stage_call(getattr(autopipe, pipeline.name))
        return {"height": 16, "width": 16, "prior_num_inference_steps": 2}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        kind = getattr(autopipe, pipeline.name)
        if pipeline.task is None or pipeline.opens_as is not None:
            first, second = stage_call(kind), stage_call(kind, second=True)
            return {name: (first[name], second[name]) for name in second}
        return {"prior_guidance_scale": (4.0, 2.0), "prior_num_inference_steps": (2, 3)}
