"""The scales of IP-Adapters: numbers, lists of them, or dicts by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import nn

from autopipe.errors import ArgumentError
from autopipe.pipeline.values import number
from autopipe_components.networks.block_strengths import (
    blocks_of,
    by_transformer,
    checked_numbers,
)

Scale: TypeAlias = "float | list[float]"
"""The scale of an adapter in a layer: of all its images together, or of each masked one."""


def check_scales(given: Any, adapters: int) -> tuple[Any, ...] | float:
    """Return one scale for each adapter, or 0 if all are 0.

    Args:
        given: one scale for all adapters, or a list of one for each: a number, a list with a number
            for each masked image, or a dict by block. Where a dict has nothing, the scale is 0.
        adapters: the number of adapters.

    Raises:
        ArgumentTypeError: if a scale is of another type.
        ArgumentError: if there are more or fewer than adapters, or a number is not finite.
    """
    scales = list(given) if isinstance(given, (list, tuple)) else [given] * adapters
    if len(scales) != adapters:
        raise ArgumentError(
            f"{len(scales)} scales are given for {adapters} IP-Adapters; give one for each, or "
            f"a single one for all"
        )
    checked = tuple(_checked(f"the scale of IP-Adapter {i}", one) for i, one in enumerate(scales))
    return checked if any(map(_acts, checked)) else 0.0


def layer_scales(
    scales: Sequence[Any], unet: nn.Module, paths: Sequence[str]
) -> list[list[Scale | None]]:
    """Return, for each attention layer of these paths, the scale of each adapter; None for 0.

    Args:
        scales: the result of `check_scales`.

    Raises:
        ArgumentError: if a dict names a block that the U-Net doesn't have.
    """
    found: list[list[Scale | None]] = [[] for _ in paths]
    for scale in scales:
        blocks = None
        if isinstance(scale, Mapping):
            blocks = by_transformer(scale, blocks_of(unet), rest=0.0)
        for layer, path in zip(found, paths):
            one = scale
            if blocks is not None:
                one = next((s for p, s in blocks.items() if path.startswith(f"{p}.")), 0.0)
            layer.append(one if _acts(one) else None)
    return found


def _checked(name: str, given: Any) -> Any:
    if isinstance(given, Mapping):
        return checked_numbers(given)
    if isinstance(given, (list, tuple)):
        return [number(f"{name}, {i}", one) for i, one in enumerate(given)]
    return number(name, given)


def _acts(scale: Any) -> bool:
    if isinstance(scale, Mapping):
        return any(map(_acts, scale.values()))
    return any(scale) if isinstance(scale, list) else bool(scale)
