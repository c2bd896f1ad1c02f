"""Checks ONNX files of unknown origin before ONNX Runtime opens them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx

from autopipe.checkpoint.names import inside, plain_name
from autopipe.errors import CheckpointError, DamagedFileError, UnsafeCheckpointError
from autopipe.regular import look, opened
from autopipe.wording import listed, shown

MODEL = "model.onnx"
"""The file of a network in the onnx layout."""

WEIGHTS = "weights.pb"
"""The file beside it with weights that don't fit into it."""

CONFIG = "config.json"
"""The file beside it with the config of the network, which not every checkpoint has."""

_LARGEST = (1 << 31) - 1
"""The largest ONNX file in bytes, which is a limit of its format."""

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""The operators of the standard, and those that are part of ONNX Runtime."""

_DEEPEST = 32
"""The most graphs inside each other."""


def check_model(file: Path) -> list[str]:
    """Check an ONNX file, and return the names of the files beside it that hold its weights.

    Raises:
        CheckpointError: if there is no such file, or it is not a regular file.
        DamagedFileError: if it is not an ONNX model, or a file with weights is absent or too short.
        UnsafeCheckpointError: if it refers to a file that is not in its folder, or to operators
            that ONNX Runtime would need a library of others for.
    """
    graphs = list(_graphs(_read(file), file))
    domains = {node.domain for graph in graphs for node in graph.node} - _DOMAINS
    if domains:
        raise UnsafeCheckpointError(
            f"{file} uses operators of {listed(map(shown, sorted(domains)))}, which ONNX Runtime "
            f"takes from a library of others; export the network with standard operators"
        )
    needed: dict[str, int] = {}
    for tensor in _tensors(graphs):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            name, end = _place(tensor, file)
            needed[name] = max(needed.get(name, 0), end)
    for name, end in needed.items():
        weights = inside(file.parent, name)
        try:
            size = look(weights).st_size
        except OSError as error:
            raise DamagedFileError(
                f"{file} has weights in {weights}, which can't be read ({error}); fetch it"
            ) from error
        if size < end:
            raise DamagedFileError(
                f"{weights} has {size:,} bytes, but {file.name} reads {end:,}; fetch it again"
            )
    return sorted(needed)


def _read(file: Path) -> onnx.ModelProto:
    try:
        with opened(file, _LARGEST) as stream:
            model = onnx.load_model_from_string(stream.read())
    except OSError as error:
        raise CheckpointError(f"{file} can't be read ({error}); fetch the checkpoint") from error
    except Exception as error:
        raise DamagedFileError(f"{file} is not an ONNX model ({error}); fetch it again") from error
    if not model.graph.node:
        raise DamagedFileError(f"{file} is not an ONNX model; fetch it again")
    return model


def _graphs(model: onnx.ModelProto, file: Path) -> Iterator[Any]:
    """Yield the graph of a model, those inside it, and its functions."""
    pending: list[tuple[Any, int]] = [(one, 0) for one in (model.graph, *model.functions)]
    while pending:
        graph, depth = pending.pop()
        if depth > _DEEPEST:
            raise DamagedFileError(
                f"{file} has more than {_DEEPEST} graphs inside each other; fetch it again"
            )
        yield graph
        for attribute in _attributes([graph]):
            pending += [(one, depth + 1) for one in (attribute.g, *attribute.graphs) if one.node]


def _attributes(graphs: Iterable[Any]) -> Iterator[Any]:
    for graph in graphs:
        for node in graph.node:
            yield from node.attribute


def _tensors(graphs: list[Any]) -> Iterator[Any]:
    """Yield all tensors of graphs, constants and the parts of sparse ones included."""
    for graph in graphs:
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
    for attribute in _attributes(graphs):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)


def _place(tensor: Any, file: Path) -> tuple[str, int]:
    """Return the file that holds a tensor, and where in it the tensor ends."""
    entries = {one.key: one.value for one in tensor.external_data}
    name = plain_name(entries.get("location"), str(file))
    try:
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", 0))
        if min(offset, length, *tensor.dims) < 0:
            raise ValueError
    except (KeyError, ValueError):
        raise DamagedFileError(
            f"{file} has the weights {shown(tensor.name)} with a type, a shape or a place that "
            f"can't be; fetch it again"
        ) from None
    return name, offset + max(length, size * math.prod(tensor.dims))
