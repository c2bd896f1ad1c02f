"""The engine that runs networks with ONNX Runtime on the processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

import autopipe
from autopipe.attaching.engine import EngineRefusal
from autopipe.errors import CheckpointError
from autopipe_components.engines.converted import ConvertedEngine, Packed
from autopipe_components.engines.tracing import Program

_TOPOLOGY = "topology.onnx"


class OnnxRuntime(ConvertedEngine):
    """Engine that runs networks with ONNX Runtime, on the processor.

    It uses as many threads as `torch.get_num_threads()` gives when a network is packed. Concurrent
    calls share them; their results are bitwise those of serial calls.
    """

    name = "onnx"

    def version(self) -> str:
        import onnxruntime

        own = autopipe.__version__
        return f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}, autopipe {own}"

    def packed_size(self, weights: Mapping[str, Tensor]) -> int:
        # Its copy, and what it holds of another one while it makes that.
        return sum(one.nbytes for one in weights.values()) * 15 // 8

    def convert(self, program: Program, folder: Path) -> None:
        from .export import export, with_weights

        names = program.input_names[len(program.weights) :]
        model = export(program, names, for_runtime=True)
        with_weights(model, program.weights, "weights")
        (folder / _TOPOLOGY).write_bytes(model.SerializeToString())

    def load(self, folder: Path, weights: Mapping[str, Tensor]) -> Packed:
        from .session import session_on

        try:
            session = session_on((folder / _TOPOLOGY).read_bytes(), weights)
        except CheckpointError as error:
            raise EngineRefusal(str(error)) from error
        names = [one.name for one in session.get_inputs()]

        def run(tensors: Sequence[Tensor]) -> list[Tensor]:
            given = {f"input.{i}": one.detach().numpy() for i, one in enumerate(tensors)}
            used = {name: given[name] for name in names}
            return [torch.from_numpy(one) for one in session.run(None, used)]

        return run
