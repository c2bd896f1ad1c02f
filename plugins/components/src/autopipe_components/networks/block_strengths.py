"""The strength of an adapter in each transformer of a U-Net, given by blocks.

    {"down": 0.9, "mid": 0.2, "up": {"block_1": 0.6, "block_2": [0.4, 0.8, 1.3]}}

A list has a number for each transformer of the block, or one for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from torch import nn

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.pipeline.values import number
from autopipe.wording import listed, shown

Blocks: TypeAlias = Mapping[str, int]
"""The number of transformers in each block with attention, such as `{"down.block_0": 2}`."""


def blocks_of(network: nn.Module) -> Blocks:
    """Return the blocks with attention of a U-Net; empty for other networks."""
    found = {}
    for path, module in network.named_modules():
        matched = re.fullmatch(r"(?:(down|up)_blocks\.(\d+)|(mid)_block)\.attentions", path)
        if matched and isinstance(module, nn.ModuleList) and len(module):
            way, index, mid = matched.groups()
            found[mid or f"{way}.block_{index}"] = len(module)
    return found


def checked_numbers(value: Any) -> Any:
    """Return a copy of strengths by block, whose numbers are floats.

    Raises:
        ArgumentTypeError: if there is something other than numbers, lists of them, and dicts.
        ArgumentError: if a number is not finite.
    """
    if isinstance(value, Mapping):
        return {name: checked_numbers(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [number("a strength", one) for one in value]
    return number("a strength", value)


def by_transformer(
    value: Mapping[str, Any], blocks: Blocks, *, rest: float = 1.0
) -> dict[str, float]:
    """Return the strength of each transformer by its path, such as `"up_blocks.1.attentions.0"`.

    Args:
        value: strengths by block.
        blocks: the result of `blocks_of`.
        rest: the strength of what `value` leaves out of a part that it names.

    Returns:
        Nothing for the parts that `value` doesn't name.

    Raises:
        ArgumentError: if there is no such block, or the length of a list doesn't fit.
    """
    if not blocks:
        raise ArgumentError(
            "the strength of a network without blocks is a number, not a dict by block"
        )
    ways: dict[str, dict[str, int]] = {}
    for block, count in blocks.items():
        ways.setdefault(block.partition(".")[0], {})[block] = count
    check_known(value, ways, "a part")
    found = {}
    for way, inside in value.items():
        if isinstance(inside, Mapping):
            check_known(inside, [one.partition(".")[2] for one in ways[way]], f"in {way}, a block")
        for block, count in ways[way].items():
            given = inside
            if isinstance(inside, Mapping):
                given = inside.get(block.partition(".")[2], rest)
            for index, one in enumerate(_each(given, count, block)):
                found[f"{_path(block)}.attentions.{index}"] = one
    return found


def check_known(given: Iterable[Any], known: Iterable[str], what: str) -> None:
    """Check that the keys of a strength are among the known ones.

    Args:
        what: what they name, such as `"a part"`.

    Raises:
        ArgumentTypeError: if a key is not a string.
        ArgumentError: if one is not known.
    """
    names = list(known)
    for name in given:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{what} of a strength is named by a string, not {shown(name)}")
        if name not in names:
            raise ArgumentError(
                f"the strength names {what} {shown(name)}, which there is not; there are "
                f"{listed(names)}.{nearest(name, names)}"
            )


def _path(block: str) -> str:
    way, _, index = block.partition(".block_")
    return f"{way}_blocks.{index}" if index else f"{way}_block"


def _each(given: Any, count: int, block: str) -> list[float]:
    if not isinstance(given, (list, tuple)):
        return [number(f"the strength of {block}", given)] * count
    if len(given) not in (1, count):
        raise ArgumentError(
            f"{block} has {count} transformers, but {len(given)} strengths are given; give one for "
            f"each, or one number"
        )
    each = [number(f"a strength of {block}", one) for one in given]
    return each * count if len(each) == 1 else each
