"""Keeps the tensors of a network in main memory while it is on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class _Kept:
    """A tensor of a module: its place there, its values in main memory, and what was sent."""

    table: dict[str, Any]
    name: str
    tensor: Tensor
    values: Tensor
    sent: tuple[Tensor, int, int | None] | None = None


class Home:
    """The tensors of a network as they are in main memory.

    Moving a network back would copy its weights, although main memory has them: that takes time,
    and weights that were mapped from a file would then fill main memory, which the system can't
    take back. So the tensors are kept, and put in their places again, except for those that
    changed on the device. Writing to `tensor.data` in place, which torch doesn't count, is not
    seen as a change.
    """

    def __init__(self, network: nn.Module) -> None:
        self._kept = [
            _Kept(table, name, tensor, tensor.data)
            for module in network.modules()
            for table in (module._parameters, module._buffers)
            for name, tensor in table.items()
            if tensor is not None
        ]

    def left(self) -> None:
        """Note what is on the device, to see later whether it has changed."""
        for one in self._kept:
            there = one.table[one.name]
            one.sent = (there, there.data_ptr(), _writes(there))

    def restore(self) -> None:
        """Put the unchanged tensors in their places; the others remain on the device."""
        for one in self._kept:
            there = one.table.get(one.name)
            if there is None or one.sent is None:
                continue
            sent, place, version = one.sent
            is_same = (
                there is sent and there.data_ptr() == place and there.dtype is one.values.dtype
            )
            if is_same and _writes(there) == version:
                one.tensor.data = one.values
                one.table[one.name] = one.tensor


def _writes(tensor: Tensor) -> int | None:
    """Return how often a tensor was written to; None for tensors that don't count it."""
    return None if tensor.is_inference() else tensor._version


def keeps(device: torch.device) -> bool:
    """Whether main memory is not that of the device, so that keeping tensors takes no more."""
    return device.type not in ("cpu", "mps")
