"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "wuerstchen"
    size = (128, 128)
    expected_failures: ClassVar = {
        "callback-WuerstchenCombinedPipeline": "the last time of a schedule is not a step",
        "latents-WuerstchenCombinedPipeline": "they are the prior's, as in diffusers",
    }

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return lambda pipeline: build(getattr(autopipe, pipeline.name))

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        if pipeline.name == "WuerstchenCombinedPipeline":
            return {"height": 128, "width": 128, "prior_num_inference_steps": 2}
        call = {"prompt": "a cat", "num_inference_steps": 2}
        if pipeline.task is None:
            return {**call, "height": 128, "width": 128}
        return {**call, "image_embeddings": torch.ones(1, 4, 3, 3), "guidance_scale": 4.0}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {"prior_num_inference_steps": (2, 3), "prior_guidance_scale": (4.0, 2.0)}
