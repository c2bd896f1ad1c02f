"""OpenVINO without its reports.

Importing OpenVINO sends a report of that over the network, by the package `openvino_telemetry`.
If that package can't be imported, nothing is sent, so it is hidden while OpenVINO is imported here.
All modules of this package take OpenVINO from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPORTS = "openvino_telemetry"


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Context manager in which importing the module fails."""
    modules: dict[str, Any] = sys.modules
    absent = object()
    before = modules.get(name, absent)
    modules[name] = None
    try:
        yield
    finally:
        if before is absent:
            del modules[name]
        else:
            modules[name] = before


with _hidden(_REPORTS):
    import openvino
    from openvino import opset13
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

__all__ = ["FrontEndManager", "TorchScriptPythonDecoder", "openvino", "opset13"]
