"""A small pipeline with networks in every role of offloading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin, entry_point
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call

WIDTH = 4


class Coder(ModelMixin):
    """A network with an entry point besides `forward`, and with its own parameter and buffer."""

    @register_to_config
    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.full((1,), 1.5))
        self.register_buffer("shift", torch.full((1,), 0.25))

    @entry_point
    def decode(self, x: Tensor) -> Tensor:
        made: Tensor = self.layer(x) * self.scale + self.shift
        return made


class RelayPipeline(DiffusionPipeline):
    """Passes a tensor from network to network, in steps."""

    model_cpu_offload_seq = "reader->painter->coder"
    _optional_components: ClassVar[tuple[str, ...]] = ("guide", "guard")
    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ("guard",)

    reader: Any
    painter: Any
    coder: Any
    guide: Any
    guard: Any

    def __init__(
        self, reader: Any, painter: Any, coder: Any, guide: Any = None, guard: Any = None
    ) -> None:
        self.register_modules(reader=reader, painter=painter, coder=coder, guide=guide, guard=guard)

    @pipeline_call
    def __call__(
        self, value: float = 1.0, steps: int = 2, callback: Callable[[Any, int], None] | None = None
    ) -> Tensor:
        x = self.reader(torch.full((1, WIDTH), value, device=self._execution_device))
        for step in range(steps):
            self.check_cancelled()
            x = self.painter(x if self.guide is None else x + self.guide(x))
            if callback is not None:
                callback(self, step)
        self.check_cancelled()
        x = self.coder.decode(x)
        return x if self.guard is None else self.guard(x)


class PaintingPipeline(DiffusionPipeline):
    """A pipeline for another task that uses some of the networks."""

    model_cpu_offload_seq = "painter->coder"

    painter: Any
    coder: Any

    def __init__(self, painter: Any, coder: Any) -> None:
        self.register_modules(painter=painter, coder=coder)

    @pipeline_call
    def __call__(self) -> Tensor:
        return self.coder.decode(self.painter(torch.ones(1, WIDTH)))


def linear(width: int = WIDTH) -> nn.Module:
    """Return the simplest network."""
    return nn.Linear(width, width)


def relay(**changes: Any) -> RelayPipeline:
    """Return a relay pipeline with seeded weights."""
    torch.manual_seed(0)
    networks = {
        "reader": linear(),
        "painter": linear(),
        "coder": Coder(),
        "guide": linear(),
        "guard": linear(),
    }
    return RelayPipeline(**{**networks, **changes})


OFFLOADED = ("model", "sequential", "disk", "map")
MODES = (*OFFLOADED, "balanced", "device", "resident")
"""The ways to place a pipeline."""


def state(pipe: RelayPipeline) -> dict[str, Any]:
    """Return the state that a call must restore: devices of weights, hooks, and running calls."""
    return {
        "places": {
            f"{name}.{path}": tensor.device
            for name, network in pipe._networks().items()
            for path, tensor in (*network.named_parameters(), *network.named_buffers())
        },
        "hooks": {name: hasattr(network, "_hf_hook") for name, network in pipe._networks().items()},
        "layout": str(pipe.placement),
        "calls": len(pipe._calls),
        "inside": dict(pipe._pool._turns._inside),
    }
