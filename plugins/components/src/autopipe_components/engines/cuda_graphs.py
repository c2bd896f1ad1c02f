"""Provides CUDA graphs as an engine: the kernels of a forward pass, recorded and replayed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from autopipe.attaching.engine import EngineRefusal, NetworkEngine, state_of
from autopipe.errors import ArgumentTypeError
from autopipe.wording import shown

_MOST = 4
"""The graphs of a network that are kept; each holds the memory of its activations."""

_WARM_UP = 3
"""The forward passes before a recording, in which libraries choose kernels and take memory."""

Captured = tuple[Callable[[], None], Any]
"""What replays a recording, and its output, which every replay overwrites."""


class CudaGraphs(NetworkEngine):
    """Engine that records the kernels of a forward pass in a CUDA graph, and replays them.

    This saves the time that Python takes to start them, which is most of it for small networks and
    batches. A graph is recorded for each shape of the inputs; the ones not used for longest are
    dropped. Calls of several threads take turns.

    Args:
        of: an engine that prepares what is recorded, such as `ChannelsLast("bfloat16")`; None for
            the network itself.

    Raises:
        ArgumentTypeError: if `of` is not an engine.
    """

    name = "cuda_graphs"

    def __init__(self, of: NetworkEngine | None = None) -> None:
        if of is not None and not isinstance(of, NetworkEngine):
            raise ArgumentTypeError(f"of={shown(of)} is not a NetworkEngine")
        self.of = of
        if of is not None:
            self.tolerance = of.tolerance

    def refuses(self, component: str, network: nn.Module) -> str | None:
        devices = {one.device.type for one in network.parameters()}
        if devices != {"cuda"}:
            where = ", ".join(sorted(devices)) or "nothing"
            return f"it is on {where}, and CUDA graphs need a CUDA device"
        return None if self.of is None else self.of.refuses(component, network)

    def version(self) -> str:
        """Return the version of torch, and what is recorded."""
        return f"{torch.__version__} {'' if self.of is None else self.of.version()}"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run = getattr(network, method) if self.of is None else self.of.prepare(network, method)
        device = next((one.device for one in network.parameters()), torch.device("cpu"))
        return _Graphs(run, device, self.capture)

    def release(self, network: nn.Module) -> None:
        if self.of is not None:
            self.of.release(network)

    def depends_on(self, network: nn.Module) -> object:
        """Return the addresses of the weights, which a graph reads anew in each replay."""
        if self.of is not None:
            return self.of.depends_on(network)
        tensors = (*network.parameters(), *network.buffers())
        places = [(one.data_ptr(), one.dtype, one.shape, one.stride()) for one in tensors]
        return state_of(network, weights=False), places

    def capture(self, run: Callable[[], Any]) -> Captured:
        """Record `run`, which takes no arguments and reads buffers that stay where they are."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has not typed it.
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use CUDA while this one records.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = run()
        return graph.replay, output


@dataclass(frozen=True)
class _Graph:
    """A recording, with the buffers that it reads and writes."""

    replay: Callable[[], None]
    inputs: Sequence[Tensor]
    outputs: Sequence[Any]
    form: TreeSpec

    def __call__(self, tensors: Sequence[Tensor]) -> Any:
        for buffer, tensor in zip(self.inputs, tensors):
            buffer.copy_(tensor)
        self.replay()
        made = [one.clone() if isinstance(one, Tensor) else one for one in self.outputs]
        return tree_unflatten(made, self.form)


class _Graphs:
    """Runs a method by a recording for each form of its arguments."""

    def __init__(
        self,
        run: Callable[..., Any],
        device: torch.device,
        capture: Callable[[Callable[[], Any]], Captured],
    ) -> None:
        self._run, self._device, self._capture = run, device, capture
        self._graphs: OrderedDict[object, _Graph] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, form = tree_flatten((args, kwargs))
        tensors = [one for one in leaves if isinstance(one, Tensor)]
        shapes = [(one.shape, one.dtype) if isinstance(one, Tensor) else one for one in leaves]
        key = repr((form, shapes))
        with self._lock:
            graph = self._graphs.get(key)
            if graph is None:
                while len(self._graphs) >= _MOST:
                    self._graphs.popitem(last=False)
                graph = self._graphs[key] = self._record(leaves, form)
            self._graphs.move_to_end(key)
            return graph(tensors)

    def _record(self, leaves: Sequence[Any], form: TreeSpec) -> _Graph:
        # Copies on the device: a recording can't read what is in main memory, such as a timestep.
        given = [
            one.detach().to(self._device, copy=True) if isinstance(one, Tensor) else one
            for one in leaves
        ]
        args, kwargs = tree_unflatten(given, form)
        replay, output = self._capture(lambda: self._run(*args, **kwargs))
        outputs, made = tree_flatten(output)
        for one in outputs:
            if not isinstance(one, Tensor) and hasattr(one, "__dict__"):
                raise EngineRefusal(f"it returns a {type(one).__name__}, which can't be copied")
        inputs = [one for one in given if isinstance(one, Tensor)]
        return _Graph(replay, inputs, outputs, made)
