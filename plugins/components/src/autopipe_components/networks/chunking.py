"""Feed-forward layers in chunks: less memory for activations, the same result."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe.attaching.network_view import origin_of
from autopipe.errors import ArgumentError
from autopipe.modeling import ModelMixin
from autopipe.pipeline.values import whole
from autopipe.wording import shown

from .transformer import FeedForward


class _ChunkedFeedForward(FeedForward):
    chunk_size: int
    chunk_dim: int

    def forward(self, hidden: Tensor) -> Tensor:
        forward = super().forward
        parts = torch.split(hidden, self.chunk_size, self.chunk_dim)
        return torch.cat([forward(one) for one in parts], self.chunk_dim)


def enable_forward_chunking(self: ModelMixin, chunk_size: int | None = None, dim: int = 0) -> None:
    """Compute the feed-forward layers of transformers for a few samples or tokens at a time.

    It is a setting of the network, so of every pipeline that shares it.

    Args:
        chunk_size: how many at a time; None for 1.
        dim: 0 for samples, 1 for tokens.

    Raises:
        ArgumentError: if the size is less than 1, or the dimension another one.
    """
    size = 1 if chunk_size is None else whole("chunk_size", chunk_size)
    if size < 1:
        raise ArgumentError(f"chunk_size is {shown(chunk_size)}; give 1 or more")
    if dim not in (0, 1):
        raise ArgumentError(f"dim is {shown(dim)}; give 0 for samples, or 1 for tokens")
    for layer in origin_of(self).modules():
        if type(layer) in (FeedForward, _ChunkedFeedForward):
            layer.chunk_size, layer.chunk_dim = size, dim
            layer.__class__ = _ChunkedFeedForward


def disable_forward_chunking(self: ModelMixin) -> None:
    """Undo `enable_forward_chunking`."""
    layers: list[Any] = list(origin_of(self).modules())
    for layer in layers:
        if type(layer) is _ChunkedFeedForward:
            layer.__class__ = FeedForward  # type: ignore[assignment]  # Narrowed too far.
