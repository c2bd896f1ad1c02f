"""The strength of an adapter in each transformer of a U-Net, given by blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.pipeline.values import number
from autopipe.wording import listed, shown

_PARTS = {"down": "down_blocks", "mid": "mid_block", "up": "up_blocks"}


def check_block_strengths(name: str, given: Any) -> Any:
    """Return strengths by block, with every number checked; see `by_transformer`.

    Args:
        name: what they are, for messages.

    Raises:
        ArgumentTypeError: if there is something other than numbers, lists of them, and dicts.
        ArgumentError: if a number is not finite, or a key is unknown.
    """
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(f"{name} is {shown(given)}; give a number or a dict by block")
    for part in given:
        if part not in _PARTS:
            raise ArgumentError(
                f"{name} has the key {shown(part)}; known are {listed(_PARTS)}."
                f"{nearest(part, _PARTS)}"
            )
    return {part: _numbers(f"{name}[{part!r}]", one, by_block=True) for part, one in given.items()}


def by_transformer(given: Mapping[str, Any], unet: nn.Module, *, rest: float) -> dict[str, float]:
    """Return the strength of each transformer by its path, such as `"up_blocks.1.attentions.0"`.

    Args:
        given: for `"down"`, `"mid"` and `"up"` a number, or for the first two of the U-Net's ways
            a dict with a number or a list for blocks such as `"block_1"`. A list has a number for
            each transformer of the block, or one for all of them.
        unet: a `UNet2DConditionModel`.
        rest: the strength where `given` has none.

    Raises:
        ArgumentError: if the U-Net has no such block, no transformers in it, or another number of
            them.
    """
    made: dict[str, float] = {}
    for part, name in _PARTS.items():
        blocks = getattr(unet, name, None)
        paths = (
            {f"block_{i}": _paths(f"{name}.{i}", one) for i, one in enumerate(blocks)}
            if isinstance(blocks, nn.ModuleList)
            else {"": _paths(name, blocks)}
        )
        strengths = given.get(part, rest)
        if not isinstance(strengths, Mapping):
            strengths = {block: strengths for block, inside in paths.items() if inside}
        for block in strengths:
            if not paths.get(block):
                known = [block for block, inside in paths.items() if inside]
                raise ArgumentError(
                    f"a strength is given for {shown(block)} of {part!r}, but this U-Net has "
                    f"transformers there in {listed(known) or 'no block'}"
                )
        for block, inside in paths.items():
            made.update(_spread(f"{part}.{block}", strengths.get(block, rest), inside))
    return made


def _paths(path: str, block: nn.Module | None) -> list[str]:
    """Return the paths of the transformers of a block."""
    return [f"{path}.attentions.{i}" for i in range(len(getattr(block, "attentions", ())))]


def _spread(name: str, given: Any, paths: list[str]) -> dict[str, float]:
    numbers = given if isinstance(given, list) else [given]
    if len(numbers) == 1:
        numbers = numbers * len(paths)
    if len(numbers) != len(paths):
        raise ArgumentError(
            f"{len(numbers)} strengths are given for {name.rstrip('.')}, which has {len(paths)} "
            f"transformers; give one for each, or a single number"
        )
    return dict(zip(paths, numbers))


def _numbers(name: str, given: Any, *, by_block: bool = False) -> Any:
    if by_block and isinstance(given, Mapping):
        return {key: _numbers(f"{name}[{key!r}]", one) for key, one in given.items()}
    if isinstance(given, (list, tuple)):
        return [number(f"{name}[{i}]", one) for i, one in enumerate(given)]
    return number(name, given)
