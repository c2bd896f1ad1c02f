"""Runs topologies with OpenVINO, on the tensors of a network."""

from __future__ import annotations

import functools
import queue
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13
from torch import Tensor

from autopipe_components.engines.converted import Packed

from .conversion import TOPOLOGY


@functools.cache
def _core() -> Any:
    return openvino.Core()


def has_bf16() -> bool:
    """Whether this processor computes in bfloat16."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def loaded(folder: Path, weights: Mapping[str, Tensor], precision: str) -> Packed:
    """Return a function that runs the topology in `folder` on these weights.

    The weights are read in place while they are packed.

    Args:
        precision: `"f32"` or `"bf16"`.

    Raises:
        ValueError: if the topology has other inputs.
    """
    core = _core()
    model = core.read_model(folder / TOPOLOGY)
    inputs = {one.get_friendly_name(): one for one in model.get_parameters()}
    arguments = sorted(set(inputs) - set(weights), key=lambda name: int(name.rpartition(".")[2]))
    if not set(weights) <= set(inputs):
        raise ValueError("the topology has other weights")
    for name, tensor in weights.items():
        parameter = inputs[name]
        users = parameter.output(0).get_target_inputs()
        if users:
            array = tensor.detach().contiguous().numpy()
            constant = opset13.constant(array, shared_memory=True)
            for user in users:
                user.replace_source_output(constant.output(0))
        model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    if [one.get_node().get_friendly_name() for one in model.inputs] != arguments:
        raise ValueError("the topology has its inputs in another order")
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            # Kernels made for a size of 1 are else used for other sizes, and results are wrong.
            "CPU_RUNTIME_CACHE_CAPACITY": 0,
        },
    )
    return _Requests(compiled)


class _Requests:
    """Runs a compiled model; each call that is running has a request of its own."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outputs = len(compiled.outputs)

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            arrays = [one.detach().contiguous().numpy() for one in tensors]
            for i, array in enumerate(arrays):
                request.set_input_tensor(i, openvino.Tensor(array, shared_memory=array.ndim > 0))
            request.infer()
            return [
                torch.from_numpy(np.array(request.get_output_tensor(i).data))
                for i in range(self._outputs)
            ]
        finally:
            self._idle.put(request)
