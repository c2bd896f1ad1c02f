"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.pictures import mask, picture

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

from .conftest import SMALL, STAGE_2

OTHERS = {
    "image": SMALL.flip(-1),
    "original_image": picture().rotate(90),
    "mask_image": mask().rotate(90),
}


class TestConformance(Conformance):
    family = "deepfloyd_if"
    size = (16, 16)
    expected_failures = {  # noqa: RUF012
        "tensors": "as in diffusers, they are in [-1, 1], since the next stage takes them so"
    }

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> dict[str, Any]:
        names = (p.name for p in autopipe.registry.families[self.family].pipelines)
        return {name: build(getattr(autopipe, name)) for name in names}

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        if pipeline.task is not None:
            return {}
        return {"prompt": "a red cat", "num_inference_steps": 3, **STAGE_2[pipeline.name]}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        given = STAGE_2.get(pipeline.name, {})
        further = {"noise_level": (250, 50)} if given else {}
        return {name: (one, OTHERS[name]) for name, one in given.items()} | further
