"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autopipe import StableDiffusionImageVariationPipeline
from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "stable_diffusion_variation"
    size = (16, 16)

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build(StableDiffusionImageVariationPipeline)
