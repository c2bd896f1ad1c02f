"""What every family promises, checked for this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe_devkit.conformance import Conformance


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
