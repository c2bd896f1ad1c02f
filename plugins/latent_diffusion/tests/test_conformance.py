"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "latent_diffusion"
    size = (32, 32)

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build(autopipe.LDMTextToImagePipeline)

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        return {"height": 32, "width": 32}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {"eta": (0.0, 1.0)}
