"""The mark of a network whose weights contain LoRAs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

MARK = "fused_loras"


@dataclass(frozen=True)
class Fused:
    """What was fused into a network.

    Attributes:
        origin: the network without it; None if that was given up.
        loras: the weights of each fused LoRA, by its name; None if it was unloaded.
    """

    origin: nn.Module | None
    loras: Mapping[str, nn.Module | None]


def fused_of(network: Any) -> Fused | None:
    """Return what was fused into a network; None if nothing was."""
    found = getattr(network, "__dict__", {}).get(MARK)
    return found if isinstance(found, Fused) else None


def is_fused(network: nn.Module, lora: Any) -> bool:
    """Whether a LoRA is part of the weights of a network."""
    found = fused_of(network)
    return found is not None and any(one is lora.weights for one in found.loras.values())


def give_up_origin(network: Any) -> None:
    """Let go of what is needed to undo fusing."""
    found = fused_of(network)
    if found is not None:
        setattr(network, MARK, Fused(None, dict.fromkeys(found.loras)))
