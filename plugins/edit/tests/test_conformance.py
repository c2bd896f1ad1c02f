"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

SAMPLES = {"guidance_rescale": (0.0, 0.7)}


class TestConformance(Conformance):
    family = "edit"
    size = (16, 16)

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Callable[[Pipeline], Any]:
        return lambda pipeline: build(getattr(autopipe, pipeline.name))

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return SAMPLES
