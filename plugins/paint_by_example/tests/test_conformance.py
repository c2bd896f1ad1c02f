"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autopipe_devkit.conformance import Conformance

NEGATIVE = "as in diffusers, a negative prompt has no effect: guidance leads away from a vector"
EXPECTED = {
    "effects-PaintByExamplePipeline": NEGATIVE,
    "neighbours-PaintByExamplePipeline": NEGATIVE,
    "mask-PaintByExamplePipeline": "the U-Net is given the mask",
    "repeats-PaintByExamplePipeline": (
        "as in diffusers, of several pictures from one image only the first generator draws for "
        "encoding it"
    ),
}


class TestConformance(Conformance):
    family = "paint_by_example"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any]) -> Any:
        return build()
