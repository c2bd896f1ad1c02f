"""What the kit checks: this package's manifest."""

from __future__ import annotations

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "freeu"
