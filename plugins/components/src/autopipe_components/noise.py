"""Draws seeded noise, so that the same generator gives the same image on every device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown


def randn_tensor(
    shape: Sequence[int],
    generator: Generator | list[Generator] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
) -> Tensor:
    """Return standard normal noise of `shape`, whose first axis is the batch.

    Args:
        shape: the shape of the result.
        generator: the source of randomness. A CPU generator draws on the CPU and the result is
            moved, so that a seed gives the same noise on every device. A list has one generator
            for each sample; a list of one is equivalent to that generator.
        device: the device of the result; the CPU by default.
        dtype: the dtype of the result.
        layout: the memory layout; strided by default.

    Raises:
        ArgumentTypeError: if `generator` is not a generator or a list of generators.
        ArgumentError: if the list doesn't have one generator per sample, or a generator of an
            accelerator is used for noise on a device of another type.
    """
    target = torch.device(device) if device is not None else torch.device("cpu")
    generators = sources(generator, shape[0])

    def draw(part: Sequence[int], source: Generator | None) -> Tensor:
        origin = target if source is None else source.device
        if origin.type != target.type and origin.type != "cpu":
            raise ArgumentError(
                f"a generator on {origin} can't draw noise for {target}; create it with "
                f"torch.Generator({target.type!r}), or with torch.Generator('cpu') for any device"
            )
        where = target if origin.type == target.type else origin
        return torch.randn(
            tuple(part), generator=source, device=where, dtype=dtype, layout=layout or torch.strided
        ).to(target)

    if len(generators) == 1:
        return draw(shape, generators[0])
    return torch.cat([draw((1, *shape[1:]), source) for source in generators])


def sources(generator: Any, count: int) -> list[Generator | None]:
    """Return the generators of a batch of `count` samples: one for all, or one for each.

    Raises:
        ArgumentTypeError: if `generator` is not a generator or a list of generators.
        ArgumentError: if the list has neither one generator nor one for each sample.
    """
    given = list(generator) if isinstance(generator, (list, tuple)) else [generator]
    generators: list[Generator | None] = given
    for one in generators:
        if one is not None and not isinstance(one, Generator):
            raise ArgumentTypeError(
                f"generator must be a torch.Generator, or a list with one for each sample, not "
                f"{shown(one)}"
            )
    if len(generators) not in (1, count):
        raise ArgumentError(
            f"generator is a list of {len(generators)} for a batch of {count}; "
            "pass one generator, or one for each sample"
        )
    return generators
