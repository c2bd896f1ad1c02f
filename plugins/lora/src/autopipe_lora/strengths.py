"""Strengths of a LoRA: a number, or numbers by component and block.

    0.7
    {"text_encoder": 0.5, "unet": 0.9}
    {"unet": {"down": 0.9, "mid": 0.2, "up": {"block_1": 0.6, "block_2": [0.4, 0.8, 1.3]}}}

What a dict leaves out is 1. Blocks are those of a U-Net with attention, and lists have a number for
each of their transformers, which is that of the residual block of the same index, too; other layers
of the U-Net have 1 then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.pipeline.values import number
from autopipe.wording import listed, shown

Blocks: TypeAlias = Mapping[str, int]
"""The number of transformers in each block with attention, such as `{"down.block_0": 2}`."""


@dataclass(frozen=True)
class Disabled:
    """The strength of a LoRA that is disabled, with the one that it has when enabled again."""

    strength: Any

    def __bool__(self) -> bool:
        return False


def blocks_of(network: nn.Module) -> Blocks:
    """Return the blocks with attention of a U-Net; empty for other networks."""
    found = {}
    for path, module in network.named_modules():
        matched = re.fullmatch(r"(?:(down|up)_blocks\.(\d+)|(mid)_block)\.attentions", path)
        if matched and isinstance(module, nn.ModuleList) and len(module):
            way, index, mid = matched.groups()
            found[mid or f"{way}.block_{index}"] = len(module)
    return found


def checked(value: Any, networks: Mapping[str, Blocks]) -> Any:
    """Return a copy of a strength, whose numbers are floats.

    Args:
        value: the strength.
        networks: the blocks of each network; empty if they aren't known yet.

    Raises:
        ArgumentTypeError: if it is neither a number nor such a dict.
        ArgumentError: if a number is not finite, or there is no such component or block.
    """
    if isinstance(value, Disabled):
        return Disabled(checked(value.strength, networks))
    if not isinstance(value, Mapping):
        return number("the strength of a LoRA", value)
    if networks:
        _check_known(value, networks, "a component")
    return {name: _of_component(name, one, networks.get(name)) for name, one in value.items()}


def _of_component(name: str, value: Any, blocks: Blocks | None) -> Any:
    if value is None:
        return 1.0
    if not isinstance(value, Mapping):
        return number(f"the strength of {shown(name)}", value)
    if blocks is not None:
        by_transformer(value, blocks)
    return {way: _plain(one) for way, one in value.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [number("a strength", one) for one in value]
    return number("a strength", value)


def by_transformer(value: Mapping[str, Any], blocks: Blocks) -> dict[str, float]:
    """Return the strength of each transformer by the path of its module, from those of blocks.

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
    _check_known(value, ways, "a part")
    found = {}
    for way, inside in value.items():
        if isinstance(inside, Mapping):
            _check_known(inside, [one.partition(".")[2] for one in ways[way]], f"in {way}, a block")
        for block, count in ways[way].items():
            given = inside
            if isinstance(inside, Mapping):
                given = inside.get(block.partition(".")[2], 1.0)
            for index, one in enumerate(_each(given, count, block)):
                found[f"{_path(block)}.attentions.{index}"] = one
    return found


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


def _check_known(given: Iterable[Any], known: Iterable[str], what: str) -> None:
    names = list(known)
    for name in given:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{what} of a strength is named by a string, not {shown(name)}")
        if name not in names:
            raise ArgumentError(
                f"the strength names {what} {shown(name)}, which there is not; there are "
                f"{listed(names)}.{nearest(name, names)}"
            )


def of_component(strength: Any, component: str) -> Any:
    """Return the part of a strength for one component: a number, or a dict by block."""
    return strength.get(component, 1.0) if isinstance(strength, Mapping) else strength


def of_modules(strength: Any, component: str, network: nn.Module) -> Callable[[str], float]:
    """Return the function from the path of a module to its strength."""
    own = of_component(strength, component)
    if not isinstance(own, Mapping):
        return lambda path: own
    each = by_transformer(own, blocks_of(network))

    def of_module(path: str) -> float:
        way, *rest = path.split(".")
        if way in ("down_blocks", "up_blocks") and len(rest) > 2:
            # A residual block has the strength of the transformer that follows it.
            rest[1] = "attentions"
        inside = ".".join((way, *rest[: 2 if way == "mid_block" else 3]))
        return each.get(inside, 1.0)

    return of_module
