"""Images and videos as sequences of patches, and back."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

Grid: TypeAlias = tuple[int, int, int]
"""The number of patches along frames, rows and columns."""


def grid_of(image: Tensor, patch: int, frames: int = 1) -> Grid:
    """Return the number of patches of an image (C, F, H, W), of `frames` x `patch` x `patch`."""
    depth, height, width = image.shape[1:]
    return depth // frames, height // patch, width // patch


def to_patches(image: Tensor, patch: int, frames: int = 1) -> Tensor:
    """Return the patches (N, cells * C) of an image (C, F, H, W), in the order of `grid_of`.

    The channels of a cell are beside each other.
    """
    depth, rows, columns = grid_of(image, patch, frames)
    cells = image.reshape(-1, depth, frames, rows, patch, columns, patch)
    return cells.permute(1, 3, 5, 2, 4, 6, 0).reshape(depth * rows * columns, -1)


def from_patches(patches: Tensor, grid: Grid, patch: int, frames: int = 1) -> Tensor:
    """Return the image (C, F, H, W) of patches; the inverse of `to_patches`."""
    cells = patches.reshape(*grid, frames, patch, patch, -1).permute(6, 0, 3, 1, 4, 2, 5)
    return cells.flatten(5, 6).flatten(3, 4).flatten(1, 2)
