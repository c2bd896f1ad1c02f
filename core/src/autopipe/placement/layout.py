"""The layout that `pipe.placement` shows: the networks, their sizes and devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ..sizes import size_text
from .base import Placement, Role, bytes_of, placed_by, tensors_of


@dataclass(frozen=True)
class Item:
    """A network: its component's name, its size in bytes, its dtype, and where it is."""

    name: str
    size: int
    dtype: torch.dtype | None
    where: str


@dataclass(frozen=True)
class Layout:
    """The networks of a pipeline and how they are placed.

    Attributes:
        owner: the class of the pipeline.
        title: the name of the placement, such as `"model offload"`.
        device: the device of calls; None if each network computes where it is.
        reason: the reason of the placement; may be empty.
        items: the networks.
    """

    owner: str
    title: str
    device: torch.device | None
    reason: str
    items: tuple[Item, ...]

    @property
    def size(self) -> int:
        """The bytes of all networks."""
        return sum(item.size for item in self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, name: str) -> Item:
        return next(item for item in self.items if item.name == name)

    def __str__(self) -> str:
        places = {item.where for item in self.items} if self.device is None else {str(self.device)}
        on = f" on {places.pop()}" if len(places) == 1 else ""
        head = f"{self.owner}: {self.title}{on}, {size_text(self.size)} in total"
        rows = [
            (item.name, size_text(item.size), str(item.dtype).removeprefix("torch."), item.where)
            for item in self.items
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths)), row[3]]) for row in rows]
        return "\n".join([head, *(f"  {line}" for line in lines)])


def layout_of(owner: str, networks: Mapping[str, nn.Module], placement: Placement) -> Layout:
    """Return the layout of `networks`, which `placement` places unless they have another one."""
    items = []
    for name, network in networks.items():
        by, role = placed_by(network) or (placement, Role(name))
        dtype = next((t.dtype for t in tensors_of(network) if t.is_floating_point()), None)
        items.append(Item(name, bytes_of(network), dtype, by.where(network, role)))
    return Layout(owner, placement.title, placement.device, placement.reason, tuple(items))
