"""The self-attention layers of a network that patterns name, and their degraded form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import listed, shown
from autopipe_components.networks.attention import Attention
from autopipe_components.steps.guidance import Contrast


class Perturbed:
    """Runs in place of a self-attention layer: the last samples get the identity for attention.

    Their output is that of each pixel attending to itself alone: the projected values.
    """

    def __init__(self, contrast: Contrast) -> None:
        self.contrast = contrast

    def __call__(self, layer: Any, hidden: Tensor, *inputs: Any, **options: Any) -> Tensor:
        rows = self.contrast.rows
        if not rows:
            whole: Tensor = layer(hidden, *inputs, **options)
            return whole
        degraded: Tensor = layer.project(layer.to_v(hidden[-rows:]))
        if rows == len(hidden):
            return degraded
        usual = layer(hidden[:-rows], *(_first(one, hidden, rows) for one in inputs), **options)
        return torch.cat([usual, degraded])


def _first(value: Any, hidden: Tensor, rows: int) -> Any:
    is_batch = isinstance(value, Tensor) and len(value) == len(hidden)
    return value[:-rows] if is_batch else value


def checked_layers(given: Any) -> tuple[str, ...]:
    """Return patterns of layers as a tuple.

    Raises:
        ArgumentTypeError: if `given` is neither a string nor a list of strings.
        ArgumentError: if one is not a regular expression, or there is none.
    """
    patterns = (given,) if isinstance(given, str) else given
    is_list = isinstance(patterns, (list, tuple))
    if not is_list or not all(isinstance(one, str) for one in patterns):
        raise ArgumentTypeError(
            f"pag_applied_layers is {shown(given)}; give a name, or a list of names, such as 'mid'"
        )
    if not patterns:
        raise ArgumentError("pag_applied_layers is empty; give at least one name, such as 'mid'")
    for one in patterns:
        try:
            re.compile(one)
        except re.error as error:
            raise ArgumentError(
                f"pag_applied_layers has {shown(one)}, which is not a regular expression: {error}"
            ) from None
    return tuple(patterns)


def self_attention(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Return the paths of the self-attention layers that one of the patterns names.

    A pattern is a regular expression for a part of the path, such as `"mid"` or
    `"up_blocks.1.attentions.0"`.

    Raises:
        ArgumentError: if no layer fits a pattern.
    """
    layers = [
        path
        for path, module in network.named_modules()
        if isinstance(module, Attention) and not module.is_cross_attention
    ]
    found: list[str] = []
    for pattern in patterns:
        fitting = [path for path in layers if re.search(pattern, path)]
        if not fitting:
            raise ArgumentError(
                f"pag_applied_layers has {shown(pattern)}, which names no self-attention layer of "
                f"this {type(network).__name__}; it has {listed(layers, 4) or 'none'}"
            )
        found += fitting
    return list(dict.fromkeys(found))
