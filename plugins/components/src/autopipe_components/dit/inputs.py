"""What a transformer is given: checks, and residuals that another network computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown


def check_input(name: str, given: Any, shape: tuple[int | None, ...]) -> Tensor:
    """Return `given`, a tensor of this shape.

    Args:
        name: the argument.
        shape: None stands for any length.

    Raises:
        ArgumentError: if it is missing, or has another shape.
    """
    found = tuple(given.shape) if isinstance(given, Tensor) else ()
    lengths = zip(found, shape)
    if len(found) != len(shape) or any(want not in (None, one) for one, want in lengths):
        wanted = ", ".join("N" if one is None else str(one) for one in shape)
        raise ArgumentError(f"{name} is {shown(given)}; this network takes a tensor ({wanted})")
    tensor: Tensor = given
    return tensor


def check_tensors(name: str, given: Any) -> None:
    """Check that `given` is a list or tuple of tensors.

    Args:
        name: the argument.

    Raises:
        ArgumentTypeError: if it is something else.
    """
    is_list = isinstance(given, (list, tuple)) and all(isinstance(one, Tensor) for one in given)
    if not is_list:
        raise ArgumentTypeError(f"{name} is {shown(given)}; this network takes a list of tensors")


class Residuals:
    """What is added to tokens after some blocks.

    Args:
        samples: for each block, or fewer.
        blocks: the number of blocks.
        name: the argument that `samples` were given as.

    Raises:
        ArgumentTypeError: if `samples` are not a list or tuple of tensors.
    """

    def __init__(
        self, samples: Sequence[Tensor] | None, blocks: int, *, name: str = "samples"
    ) -> None:
        if samples is not None:
            check_tensors(name, samples)
        self.samples = samples
        self.each = -(-blocks // len(samples)) if samples else 1

    def added(self, tokens: Tensor, index: int, *, after: int = 0, in_turn: bool = False) -> Tensor:
        """Return tokens after the block `index`; those of a text, `after`, stay."""
        if not self.samples:
            return tokens
        sample = self.samples[index % len(self.samples) if in_turn else index // self.each]
        return torch.cat([tokens[:, :after], tokens[:, after:] + sample], dim=1)
