"""Layerwise casting: weights are stored in a smaller dtype, and cast when a layer computes.

A layer casts a copy of its weights, which is freed after it, so that threads share the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.attaching.network_view import origin_of
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.modeling import ModelMixin
from autopipe.wording import shown

SKIPPED = ("pos_embed", "patch_embed", "norm", "^proj_in$", "^proj_out$")
"""The layers that stay as they are by default, as patterns of paths: those that need precision."""


class _CastLinear(nn.Linear):
    compute_dtype: torch.dtype

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = _cast(self, self.compute_dtype)
        return F.linear(input, weight, bias)


class _CastConv2d(nn.Conv2d):
    compute_dtype: torch.dtype

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = _cast(self, self.compute_dtype)
        convolved: Tensor = self._conv_forward(input, weight, bias)
        return convolved


class _CastEmbedding(nn.Embedding):
    compute_dtype: torch.dtype

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight.to(self.compute_dtype), self.padding_idx)


_CASTING: dict[type, type] = {
    nn.Linear: _CastLinear,
    nn.Conv2d: _CastConv2d,
    nn.Embedding: _CastEmbedding,
}


def enable_layerwise_casting(
    self: ModelMixin,
    storage_dtype: torch.dtype = torch.float8_e4m3fn,
    compute_dtype: torch.dtype | None = None,
    skip_modules_pattern: Sequence[str] | None = None,
    skip_modules_classes: Sequence[type[nn.Module]] | None = None,
    non_blocking: bool = False,
) -> None:
    """Store the weights of linear, convolutional and embedding layers in a smaller dtype.

    Each layer casts them while it computes. It is a setting of the network, so of every pipeline
    that shares it, and it rounds the weights for good. Call it after the network has its dtype.

    Args:
        storage_dtype: for storing, such as `torch.float8_e4m3fn`.
        compute_dtype: for computing; by default the dtype of the network.
        skip_modules_pattern: regular expressions for paths of modules that stay as they are; by
            default normalisation, embeddings of positions and patches, and the outermost
            projections.
        skip_modules_classes: classes of modules that stay as they are.
        non_blocking: not used.

    Raises:
        ArgumentTypeError: if a dtype is not a floating-point dtype.
        ArgumentError: if the weights are elsewhere, because of a device map or offloading.
    """
    network: Any = origin_of(self)
    compute_dtype = network.dtype if compute_dtype is None else compute_dtype
    for name, one in (("storage_dtype", storage_dtype), ("compute_dtype", compute_dtype)):
        if not isinstance(one, torch.dtype) or not one.is_floating_point:
            raise ArgumentTypeError(f"{name} is {shown(one)}; give a torch.dtype of floats")
    if any(one.is_meta for one in network.parameters()):
        raise ArgumentError(
            f"the weights of this {type(network).__name__} are elsewhere, because its device map "
            f"or offloading places its layers; call enable_layerwise_casting() before that"
        )
    patterns = SKIPPED if skip_modules_pattern is None else tuple(skip_modules_pattern)
    patterns = (*patterns, *network._keep_in_fp32_modules)
    for layer in list(_chosen(network, "", patterns, tuple(skip_modules_classes or ()))):
        layer.to(storage_dtype)
        layer.compute_dtype = compute_dtype
        layer.__class__ = _CASTING.get(type(layer), type(layer))
    network.compute_dtype = compute_dtype


def _chosen(
    module: nn.Module, path: str, patterns: Sequence[str], classes: tuple[type, ...]
) -> Iterator[Any]:
    """Yield the layers to cast in `module`, whose path is `path`."""
    if isinstance(module, classes) or any(re.search(one, path) for one in patterns):
        return
    if type(module) in _CASTING or type(module) in _CASTING.values():
        yield module
        return
    for name, child in module.named_children():
        yield from _chosen(child, f"{path}.{name}" if path else name, patterns, classes)


def _cast(layer: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    return layer.weight.to(dtype), None if layer.bias is None else layer.bias.to(dtype)
