"""Rotary positions over several axes: "RoFormer" (Su et al., 2021, arXiv:2104.09864).

A head is divided among the axes of a position, such as row and column, and each pair of
neighbouring values is turned by an angle that grows with the position along its axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Rotary: TypeAlias = tuple[Tensor, Tensor]
"""Cosines and sines of the angles, each (N, head) or (B, N, head) in float32, every value twice."""

# These devices have no float64.
_SINGLE = frozenset({"mps", "npu"})


def rotary_waves(positions: Tensor, widths: Sequence[int], *, theta: float = 10000.0) -> Rotary:
    """Return the cosines and sines for tokens at `positions`.

    Args:
        positions: (N, axes), or (B, N, axes) if samples differ.
        widths: for each axis the width of its part of a head, an even number.
        theta: the base of the frequencies, which fall geometrically from 1 to about 1 / theta.
    """
    device = positions.device
    dtype = torch.float32 if device.type in _SINGLE else torch.float64
    angles = []
    for axis, width in enumerate(widths):
        exponents = torch.arange(0, width, 2, dtype=dtype, device=device) / width
        frequencies = 1.0 / theta**exponents
        angles.append(positions[..., axis, None].to(dtype) * frequencies)
    every = torch.cat(angles, dim=-1)
    # float32 only now: angles are exact up to thousands of tokens.
    return tuple(  # type: ignore[return-value]
        wave.float().repeat_interleave(2, dim=-1) for wave in (every.cos(), every.sin())
    )


def rotated(heads: Tensor, rotary: Rotary) -> Tensor:
    """Return queries or keys (B, heads, N, head) turned by their angles, in their dtype."""
    # (B, N, head) needs an axis for the heads; (N, head) broadcasts as well with one.
    cosines, sines = (one.unsqueeze(-3).to(heads.device) for one in rotary)
    pairs = torch.unflatten(heads.float(), -1, (-1, 2))
    left, right = pairs.unbind(-1)
    across = torch.stack([-right, left], dim=-1).flatten(-2)
    turned: Tensor = (pairs.flatten(-2) * cosines + across * sines).to(heads.dtype)
    return turned


def grid_positions(
    size: tuple[int, ...], *, start: Sequence[int] = (), device: torch.device | str | None = None
) -> Tensor:
    """Return the positions of the cells of a grid, (cells, axes), the last axis fastest, float32.

    Args:
        size: the number of cells along each axis.
        start: the first position along each axis; 0 by default.
    """
    first = tuple(start) or (0,) * len(size)
    axes = [
        torch.arange(begin, begin + count, dtype=torch.float32, device=device)
        for begin, count in zip(first, size)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
