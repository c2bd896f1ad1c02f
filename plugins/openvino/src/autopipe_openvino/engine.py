"""The engine that runs networks with OpenVINO on the processor."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from autopipe.errors import ArgumentError, nearest
from autopipe.wording import shown
from autopipe_components.engines.converted import ConvertedEngine, Packed
from autopipe_components.engines.tracing import Program

_BYTES = {"f32": 4, "bf16": 2}
_TOLERANCES = {"f32": 1e-4, "bf16": 0.1}


class OpenVINO(ConvertedEngine):
    """Engine that runs networks with OpenVINO, on the processor.

    It uses as many threads as `torch.get_num_threads()` gives when a network is packed. Concurrent
    calls share them; their results are bitwise those of serial calls.

    Args:
        precision: what networks compute in: `"f32"`, or `"bf16"` on processors that have it, which
            takes half of the time and memory, at a loss of about 2 % of the largest value.

    Raises:
        ArgumentError: if there is no such precision, or this processor lacks it.
    """

    name = "openvino"

    def __init__(self, precision: str = "f32") -> None:
        super().__init__()
        if precision not in _BYTES:
            raise ArgumentError(
                f"precision={shown(precision)} is not one of {', '.join(_BYTES)}."
                f"{nearest(precision, _BYTES)}"
            )
        if precision == "bf16":
            from .runtime import has_bf16

            if not has_bf16():
                raise ArgumentError(
                    "this processor doesn't compute in bf16; leave precision= out for f32"
                )
        self.precision = precision
        self.tolerance = _TOLERANCES[precision]

    def version(self) -> str:
        versions = [f"{name} {version(name)}" for name in ("openvino", "torch")]
        return ", ".join((*versions, self.precision))

    def packed_size(self, weights: Mapping[str, Tensor]) -> int:
        return sum(one.numel() for one in weights.values()) * _BYTES[self.precision]

    def convert(self, program: Program, folder: Path) -> None:
        from .conversion import write

        write(program, folder)

    def load(self, folder: Path, weights: Mapping[str, Tensor]) -> Packed:
        from .runtime import loaded

        return loaded(folder, weights, self.precision)
