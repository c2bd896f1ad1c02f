"""The engine passes the checks of the kit, on the demo of Stable Diffusion."""

from __future__ import annotations

from autopipe import NetworkEngine
from autopipe_devkit.conformance import EngineConformance
from autopipe_openvino.engine import OpenVINO


class TestOpenVINO(EngineConformance):
    engine = "openvino"

    def make(self) -> NetworkEngine:
        return OpenVINO()
