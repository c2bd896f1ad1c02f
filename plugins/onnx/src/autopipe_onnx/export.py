"""Exports what networks compute as ONNX graphs, for every size of inputs."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import onnx
import torch
from torch import Tensor, nn

from autopipe_components.engines.tracing import Program

from .operators import OfRuntime

OPSET = 18
"""The version of the ONNX operators; the exporter knows no later ones for all of ours."""

_PAGE = 4096
"""The weights in a file begin at multiples of this, so that each can be mapped."""

_TYPES: Mapping[torch.dtype, int] = {
    torch.float32: onnx.TensorProto.FLOAT,
    torch.float64: onnx.TensorProto.DOUBLE,
    torch.int64: onnx.TensorProto.INT64,
    torch.int32: onnx.TensorProto.INT32,
    torch.uint8: onnx.TensorProto.UINT8,
    torch.bool: onnx.TensorProto.BOOL,
}


def export(
    program: Program,
    inputs: Sequence[str],
    outputs: Sequence[str] = (),
    *,
    free: Mapping[str, tuple[int, ...]] | None = None,
    for_runtime: bool = False,
) -> onnx.ModelProto:
    """Return the graph of a program; its weights are inputs, so that none becomes a constant.

    Args:
        inputs, outputs: the names of the program's inputs without the weights, and of its outputs.
        free: the axes whose size may differ later, for inputs other than samples (B, C, H, W) with
            C channels, embeddings (B, K, D) and (B, D) of a width D, and token ids (B, K).
        for_runtime: whether to use operators that only ONNX Runtime has, which are faster.

    Raises:
        EngineRefusal: if the network can't be traced, or has operations that ONNX lacks.
    """
    axes = {name: _free_axes(one) for name, one in zip(inputs, program.inputs)} | dict(free or {})
    buffer = io.BytesIO()

    def trace(function: nn.Module, tensors: tuple[Tensor, ...]) -> None:
        # The other exporter of torch takes five times as long.
        torch.onnx.export(
            function,
            tensors,
            buffer,  # type: ignore[arg-type]  # which this exporter takes
            dynamo=False,
            export_params=False,
            do_constant_folding=False,
            opset_version=OPSET,
            input_names=[*program.weights, *inputs],
            output_names=list(outputs),
            dynamic_axes={n: {a: f"{n}_{a}" for a in found} for n, found in axes.items()},
        )

    with OfRuntime() if for_runtime else nullcontext():
        program.traced_by(trace)
    return onnx.load_model_from_string(buffer.getvalue())


def with_weights(
    model: onnx.ModelProto, weights: Mapping[str, Tensor], file: str
) -> dict[str, tuple[int, int]]:
    """Make the inputs of a graph that are weights initializers, whose content is in `file`.

    Args:
        weights: the weights by name; only their types and shapes are used.

    Returns:
        Offset and length in bytes in the file, for each weight that the graph uses.
    """
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    own = [one for one in graph.input if one.name not in weights]
    names = [one.name for one in graph.input if one.name in weights and one.name in used]
    del graph.input[:]
    graph.input.extend(own)
    places: dict[str, tuple[int, int]] = {}
    offset = 0
    for name in names:
        tensor = weights[name]
        made = graph.initializer.add(
            name=name,
            data_type=_TYPES[tensor.dtype],
            dims=tensor.shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        entries = {"location": file, "offset": str(offset), "length": str(tensor.nbytes)}
        for key, value in entries.items():
            made.external_data.add(key=key, value=value)
        places[name] = offset, tensor.nbytes
        offset += -(-tensor.nbytes // _PAGE) * _PAGE
    return places


def _free_axes(example: Tensor) -> tuple[int, ...]:
    """Return the axes of an input whose size may differ between calls, by its kind."""
    if example.ndim == 4:
        return (0, 2, 3)
    if example.is_floating_point() and example.ndim > 1:
        return tuple(range(example.ndim - 1))
    return tuple(range(example.ndim))
