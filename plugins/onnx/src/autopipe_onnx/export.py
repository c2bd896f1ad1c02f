"""Exports networks as ONNX graphs for every size of inputs, without copying their weights.

The network is traced with weights that all have one number in memory, so this takes neither the
memory of the weights nor the time to compute with them, and what is exported is the same for all
weights. They are inputs of the trace: otherwise the exporter would fold them into constants.
"""

from __future__ import annotations

import copy
import io
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from .operators import OfRuntime

OPSET = 18
"""The version of the ONNX operators; the exporter knows no later ones for all of ours."""

_exporting = threading.Lock()
"""The exporter keeps its settings in globals."""

_ONNX_TYPES: Mapping[torch.dtype, int] = {
    torch.float32: onnx.TensorProto.FLOAT,
    torch.float16: onnx.TensorProto.FLOAT16,
    torch.int64: onnx.TensorProto.INT64,
}


def export(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    free: Mapping[str, tuple[int, ...]] | None = None,
    for_runtime: bool = False,
) -> onnx.ModelProto:
    """Return the graph of `network(*inputs)`; the weights are inputs named like the parameters.

    Args:
        network: returns a tensor or a tuple of tensors. It is not changed.
        inputs: examples of its inputs, by name. An example size of 1 would fix what depends on it.
        outputs: the names of its outputs.
        free: the axes whose size may differ later, for inputs other than samples (B, C, H, W) with
            C channels, embeddings (B, K, D) and (B, D) of a width D, and token ids (B, K).
        for_runtime: whether to use operators that only ONNX Runtime has, which are faster.

    Raises:
        RuntimeError or one of its kinds: if the network can't be traced or exported.
    """
    traced = _Hollow(network)
    buffer = io.BytesIO()
    names = [*inputs, *traced.names]
    axes = {name: _free_axes(one) for name, one in inputs.items()} | dict(free or {})
    with _exporting, torch.no_grad(), warnings.catch_warnings():
        # About Python's view of shapes, and that another exporter is the default: it takes five
        # times as long.
        warnings.simplefilter("ignore")
        with OfRuntime() if for_runtime else nullcontext():
            torch.onnx.export(
                traced,
                (*inputs.values(), *traced.weights),
                buffer,
                dynamo=False,
                export_params=False,
                do_constant_folding=False,
                opset_version=OPSET,
                input_names=names,
                output_names=list(outputs),
                dynamic_axes={n: {a: f"{n}_{a}" for a in found} for n, found in axes.items()},
            )
    return onnx.load_from_string(buffer.getvalue())


def with_weights(
    model: onnx.ModelProto, inputs: Sequence[str], file: str, weights: Mapping[str, Tensor]
) -> dict[str, tuple[int, int]]:
    """Make the weights of an exported graph initializers whose content is in `file`.

    Args:
        inputs: the names of the graph's other inputs.
        weights: the parameters by name; only their types and shapes are used.

    Returns:
        Offset and length in bytes in the file, for each weight that the graph uses.
    """
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    own = [one for one in graph.input if one.name in inputs]
    names = [one.name for one in graph.input if one.name not in inputs and one.name in used]
    del graph.input[:]
    graph.input.extend(own)
    places: dict[str, tuple[int, int]] = {}
    offset = 0
    for name in names:
        tensor = weights[name]
        made = graph.initializer.add(
            name=name,
            data_type=_ONNX_TYPES[tensor.dtype],
            dims=tensor.shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        entries = {"location": file, "offset": str(offset), "length": str(tensor.nbytes)}
        for key, value in entries.items():
            made.external_data.add(key=key, value=value)
        places[name] = offset, tensor.nbytes
        # Memory maps begin at pages.
        offset += -(-tensor.nbytes // _PAGE) * _PAGE
    return places


_PAGE = 4096


class _Hollow(nn.Module):
    """A copy of a network that takes its weights as further inputs.

    Attributes:
        names: the names of the weights.
        weights: zeros in place of them, of the same shapes, with one number in memory each.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        parameters = dict(network.named_parameters(remove_duplicate=False))
        hollow: dict[int, Any] = {}
        for parameter in parameters.values():
            zero = torch.zeros((), dtype=parameter.dtype)
            hollow.setdefault(id(parameter), zero.expand(parameter.shape))
        self.names = list(parameters)
        self.weights = [hollow[id(parameter)] for parameter in parameters.values()]
        made = copy.deepcopy(network, hollow).eval()
        self._places = []
        for name in self.names:
            path, _, leaf = name.rpartition(".")
            module = made.get_submodule(path)
            # An attribute, since a parameter can't be replaced while it is traced.
            del module._parameters[leaf]
            self._places.append((module, leaf))
        self._of = (made,)  # In a tuple, because it is not a child: the exporter would look at it.

    def forward(self, *tensors: Tensor) -> Any:
        count = len(tensors) - len(self._places)
        for (module, leaf), weight in zip(self._places, tensors[count:]):
            module.__dict__[leaf] = weight
        return self._of[0](*tensors[:count])


def _free_axes(example: Tensor) -> tuple[int, ...]:
    """Return the axes of an input whose size may differ between calls, by its kind."""
    if example.ndim == 4:
        return (0, 2, 3)
    if example.is_floating_point() and example.ndim > 1:
        return tuple(range(example.ndim - 1))
    return tuple(range(example.ndim))
