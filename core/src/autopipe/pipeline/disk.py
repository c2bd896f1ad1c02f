"""Weights that rest in a file, from which hooks of accelerate read them layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, attach_align_device_hook
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .devices import CPU

_FILE = "weights.safetensors"


class WeightsOnDisk(Mapping[str, Tensor]):
    """The tensors of a network by name, read from a file in `folder` each time.

    One file for all, unlike what accelerate writes: a file for each tensor takes many times as
    long to write and to remove.
    """

    def __init__(self, network: nn.Module, folder: Path, device: torch.device) -> None:
        state = network.state_dict()
        first: dict[object, str] = {}
        self._names = {
            name: first.setdefault((t.data_ptr(), t.dtype, t.shape, t.stride()), name)
            for name, t in state.items()
        }
        file = folder / _FILE
        save_file({name: state[name].contiguous() for name in first.values()}, file)
        self._file = safe_open(file, framework="pt")
        self._copies = device == CPU

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(self._names[name])
        # How kernels round depends on where a tensor begins; in memory of its own it begins well.
        return tensor.clone() if self._copies else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def offload_to_disk(network: nn.Module, folder: Path, device: torch.device) -> None:
    """Let the layers of `network` come from a file in `folder` to `device` when they compute."""
    weights = WeightsOnDisk(network, folder, device)
    add_hook_to_module(network, AlignDevicesHook(io_same_device=True))
    attach_align_device_hook(network, execution_device=device, offload=True, weights_map=weights)
