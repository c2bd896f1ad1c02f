"""Computation on a large image in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_tiles(
    work: Callable[[Tensor], Tensor], whole: Tensor, *, tile: int, made: int, overlap: float
) -> Tensor:
    """Return `work(whole)` for (B, C, H, W), computed tile by tile and blended.

    Args:
        work: the computation, which scales the size by `made / tile`.
        whole: the input.
        tile: height and width of a tile of the input.
        made: height and width of the result of `work` for a tile.
        overlap: the fraction of a tile that overlaps with its neighbour, in [0, 1).
    """
    step = int(tile * (1 - overlap))
    extent = int(made * overlap)
    keep = made - extent
    above: list[Tensor] = []
    rows = []
    for top in range(0, whole.shape[2], step):
        row: list[Tensor] = []
        for left in range(0, whole.shape[3], step):
            part = work(whole[:, :, top : top + tile, left : left + tile])
            if above:
                part = _blend(above[len(row)], part, extent, dim=2)
            if row:
                part = _blend(row[-1], part, extent, dim=3)
            row.append(part)
        rows.append(torch.cat([part[:, :, :keep, :keep] for part in row], dim=3))
        above = row
    return torch.cat(rows, dim=2)


def _blend(before: Tensor, after: Tensor, extent: int, *, dim: int) -> Tensor:
    """Blend the first `extent` rows of `after` along `dim` with the last ones of `before`."""
    extent = min(before.shape[dim], after.shape[dim], extent)
    weight = torch.arange(extent, device=after.device, dtype=after.dtype) / extent
    weight = weight[:, None] if dim == 2 else weight
    end = before.narrow(dim, before.shape[dim] - extent, extent)
    faded = end * (1 - weight) + after.narrow(dim, 0, extent) * weight
    rest = after.narrow(dim, extent, after.shape[dim] - extent)
    return torch.cat((faded, rest), dim=dim)


def in_ramped_tiles(
    work: Callable[[Tensor], Tensor], whole: Tensor, *, tile: int, made: int, overlap: float
) -> Tensor:
    """Do the same as `in_tiles`, but each tile covers those before it after a linear ramp.

    The ramp is as wide as the overlap.
    """
    step = tile - int(tile * overlap)
    ramp = max(int(tile * overlap) * made // tile - 1, 1)
    result: Tensor | None = None

    def weights(length: int, start: int) -> Tensor:
        rising = torch.arange(length, device=whole.device, dtype=whole.dtype) / ramp
        return rising.clamp(max=1) if start else torch.ones_like(rising)

    for top in range(0, whole.shape[2], step):
        for left in range(0, whole.shape[3], step):
            part = work(whole[:, :, top : top + tile, left : left + tile])
            if result is None:
                size = [side * made // tile for side in whole.shape[2:]]
                result = part.new_zeros(*part.shape[:2], *size)
            y, x = top * made // tile, left * made // tile
            target = result[:, :, y : y + part.shape[2], x : x + part.shape[3]]
            part = part[:, :, : target.shape[2], : target.shape[3]]
            weight = weights(part.shape[2], y)[:, None] * weights(part.shape[3], x)
            target.copy_(weight * part + (1 - weight) * target)
    assert result is not None
    return result
