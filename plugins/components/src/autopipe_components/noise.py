"""Seeded noise: the same generator gives the same picture on every device."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Standard normal noise of `shape`, whose first axis is the batch.

    Args:
        shape: the shape of the result.
        generator: where the randomness comes from. A generator of the CPU draws on the CPU and the
            result is moved, so that a seed means the same everywhere. With a list of several, each
            sample is drawn by its own generator; a list of one counts as that generator.
        device: where the result lies; the CPU by default.
        dtype: the dtype of the result.
        layout: the memory layout; strided by default.

    Raises:
        ArgumentTypeError: `generator` is something else.
        ArgumentError: a list that doesn't hold one generator per sample, or a generator of an
            accelerator asked for noise on another device.
    """
    target = torch.device(device) if device is not None else torch.device("cpu")
    generators = list(generator) if isinstance(generator, (list, tuple)) else [generator]
    for one in generators:
        if one is not None and not isinstance(one, Generator):
            raise ArgumentTypeError(
                f"generator must be a torch.Generator, or a list with one for each sample, not "
                f"{shown(one)}"
            )
    if len(generators) not in (1, shape[0]):
        raise ArgumentError(
            f"generator is a list of {len(generators)} for a batch of {shape[0]}; "
            "pass one generator, or one for each sample"
        )

    def draw(part: Sequence[int], source: Generator | None) -> Tensor:
        origin = target if source is None else source.device
        if origin.type != target.type and origin.type != "cpu":
            raise ArgumentError(
                f"a generator of {origin} can't draw noise for {target}; make it with "
                f"torch.Generator({target.type!r}), or with torch.Generator('cpu') for any device"
            )
        where = target if origin.type == target.type else origin
        return torch.randn(
            tuple(part), generator=source, device=where, dtype=dtype, layout=layout or torch.strided
        ).to(target)

    if len(generators) == 1:
        return draw(shape, generators[0])
    return torch.cat([draw((1, *shape[1:]), source) for source in generators])
