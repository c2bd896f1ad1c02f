"""The engine passes the checks of the kit, on the demo of Stable Diffusion."""

from __future__ import annotations

from autopipe_devkit.conformance import EngineConformance


class TestShared(EngineConformance):
    engine = "shared"
