"""An engine: what torch.jit.trace makes of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from autopipe import NetworkEngine


class Traced(NetworkEngine):
    """Traces a network at its first call."""

    name = "traced"

    def refuses(self, component: str, network: nn.Module) -> str | None:
        """Only the networks of this family are known to be traceable."""
        return None if type(network).__name__ == "ShapesNetwork" else "it is for shapes alone"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        """What is called in place of the method."""
        made: list[Any] = []

        def run(*tensors: Any) -> Any:
            if not made:
                made.append(torch.jit.trace(network, tensors, check_trace=False))
            return made[0](*tensors)

        return run
