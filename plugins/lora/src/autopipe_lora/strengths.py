"""Strengths of a LoRA: a number, or numbers by component and block.

    0.7
    {"text_encoder": 0.5, "unet": 0.9}
    {"unet": {"down": 0.9, "mid": 0.2, "up": {"block_1": 0.6, "block_2": [0.4, 0.8, 1.3]}}}

What a dict leaves out is 1. Blocks are those of a U-Net with attention, and lists have a number for
each of their transformers, which is that of the residual block of the same index, too; other layers
of the U-Net have 1 then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from autopipe.pipeline.values import number
from autopipe.wording import shown
from autopipe_components.networks.block_strengths import (
    Blocks,
    blocks_of,
    by_transformer,
    check_known,
    checked_numbers,
)


@dataclass(frozen=True)
class Disabled:
    """The strength of a LoRA that is disabled, with the one that it has when enabled again."""

    strength: Any

    def __bool__(self) -> bool:
        return False


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
        check_known(value, networks, "a component")
    return {name: _of_component(name, one, networks.get(name)) for name, one in value.items()}


def _of_component(name: str, value: Any, blocks: Blocks | None) -> Any:
    if value is None:
        return 1.0
    if not isinstance(value, Mapping):
        return number(f"the strength of {shown(name)}", value)
    if blocks is not None:
        by_transformer(value, blocks)
    return checked_numbers(value)


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
