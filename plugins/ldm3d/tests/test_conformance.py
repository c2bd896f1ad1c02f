"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "ldm3d"
    size = (16, 16)

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build()

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return {"guidance_rescale": (0.0, 0.7), "clip_skip": (None, 1)}
