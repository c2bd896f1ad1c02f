"""Converts traced operations to OpenVINO's, without weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

from autopipe.attaching.engine import EngineRefusal
from autopipe.wording import reason
from autopipe_components.engines.tracing import Program

TOPOLOGY = "topology.xml"

_MOST_CONSTANTS = 32 << 20
"""The bytes of constants in a topology. More are weights that the network reaches unseen."""


def write(program: Program, folder: Path) -> None:
    """Write the operations of `program` into `folder`; all weights are inputs.

    Raises:
        EngineRefusal: if the network can't be traced, or OpenVINO lacks one of its operations.
    """
    traced = program.trace()
    # The front end itself, since `openvino.convert_model` imports what reports its use.
    front_end = FrontEndManager().load_by_framework("pytorch")
    # OpenVINO keeps no reference to its Python half.
    decoder = TorchScriptPythonDecoder(traced)
    try:
        model: Any = front_end.convert(front_end.load(decoder))
    except Exception as error:
        raise EngineRefusal(f"OpenVINO can't convert its operations ({reason(error)})") from error
    if len(model.inputs) != len(program.input_names):
        raise EngineRefusal("OpenVINO's form of it has other inputs")
    for given, name in zip(model.inputs, program.input_names):
        given.get_node().set_friendly_name(name)
    file = folder / TOPOLOGY
    openvino.save_model(model, file, compress_to_fp16=False)
    constants = file.with_suffix(".bin")
    if constants.exists() and constants.stat().st_size > _MOST_CONSTANTS:
        raise EngineRefusal("it has large constants that are not in its state dict")
