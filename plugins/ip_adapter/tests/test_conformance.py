"""What the kit checks of this package's manifest."""

from __future__ import annotations

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "ip_adapter"
