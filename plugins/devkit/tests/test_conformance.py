"""What every plugin promises, checked for this one."""

from __future__ import annotations

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "devkit"
