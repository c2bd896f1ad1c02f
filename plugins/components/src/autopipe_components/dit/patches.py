"""Images and videos as sequences of patches, and back."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError

from ..networks.attention import to_tokens

_MOST_NUMBERS, _MOST_STORED = 1 << 26, 1 << 29
"""The most numbers in the position embedding of a network, far above any published one: where it is
computed, and where it comes with the checkpoint."""

Grid: TypeAlias = tuple[int, int, int]
"""The number of patches along frames, rows and columns."""


class PatchEmbed(nn.Module):
    """Embeds the patches of an image with their positions, (B, C, H, W) -> (B, N, width).

    "An Image is Worth 16x16 Words" (Dosovitskiy et al., 2021), with the fixed two-dimensional
    sinusoids of masked autoencoders (He et al., 2022). N is (H // patch) * (W // patch), row by
    row. Images of another size than `side` have the same range of positions, in finer or coarser
    steps.

    With `most`, the positions are those of a grid of `most` x `most` patches over that range, of
    which an image has the ones in the middle (Esser et al., 2024, arXiv:2403.03206, section 5.3.2).
    They are then part of the checkpoint.

    Raises:
        ConfigError: if the patches don't fill the image, `width` is not a multiple of 4, or the
            embedding of all positions would be absurdly large.
    """

    def __init__(
        self, *, side: int, patch: int, channels: int, width: int, most: int | None = None
    ) -> None:
        super().__init__()
        self.cells, self.most = side // patch, most
        if side % patch:
            raise ConfigError(f"sample_size is {side}; it must be divisible by patch_size, {patch}")
        if width % 4:
            raise ConfigError(
                f"num_attention_heads * attention_head_dim is {width}; it must be divisible by 4"
            )
        name, cells, limit = "sample_size", self.cells, _MOST_NUMBERS
        if most is not None:
            name, cells, limit = "pos_embed_max_size", most, _MOST_STORED
        if cells**2 * width > limit:
            raise ConfigError(
                f"{name} asks for positions of {cells} x {cells} patches, attention_head_dim for "
                f"{width} numbers of each; the limit is {limit:,}"
            )
        self.proj = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        positions = embed_positions(cells, cells, width, span=self.cells)
        self.register_buffer("pos_embed", positions, persistent=most is not None)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.proj(pixels)
        width, rows, columns = patches.shape[1:]
        positions: Tensor = self.pos_embed  # type: ignore[assignment]  # a buffer
        if self.most is not None:
            positions = _middle(positions, self.most, rows, columns)
        elif (rows, columns) != (self.cells, self.cells):
            positions = embed_positions(rows, columns, width, span=self.cells)
        return to_tokens(patches) + positions.to(patches)


def _middle(positions: Tensor, most: int, rows: int, columns: int) -> Tensor:
    """Return those of (1, most * most, width) that are in the middle, (1, rows * columns, width).

    Raises:
        ArgumentError: if there are more rows or columns than `most`.
    """
    if max(rows, columns) > most:
        raise ArgumentError(
            f"the image has {rows} x {columns} patches, and this network has positions for {most} "
            f"x {most}; give a smaller image"
        )
    top, left = (most - rows) // 2, (most - columns) // 2
    grid = torch.unflatten(positions, 1, (most, most))
    return grid[:, top : top + rows, left : left + columns].flatten(1, 2)


def embed_positions(rows: int, columns: int, width: int, *, span: int) -> Tensor:
    """Return the embeddings of the cells of a grid, (1, rows * columns, width), float32.

    The first half of each embeds the column, the second half the row.

    Args:
        width: a multiple of 4.
        span: the range of positions along each axis.
    """
    frequencies = 10000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def waves(count: int) -> Tensor:
        places = torch.arange(count, dtype=torch.float32) / (count / span)
        angles = places[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1).float()

    across = waves(columns).expand(rows, columns, -1)
    down = waves(rows)[:, None].expand(rows, columns, -1)
    return torch.cat([across, down], dim=2).flatten(0, 1)[None]


def join_patches(tokens: Tensor, rows: int, columns: int, patch: int) -> Tensor:
    """Return the image, (B, C, rows * patch, columns * patch), of its patches.

    Args:
        tokens: (B, rows * columns, patch * patch * C), a patch in each, its channels last.
    """
    return from_patches(tokens, (1, rows, columns), patch).squeeze(2)


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
    """Return the image (..., C, F, H, W) of patches (..., N, cells * C), as of `to_patches`."""
    depth, rows, columns = grid
    cells = patches.reshape(*patches.shape[:-2], *grid, frames, patch, patch, -1)
    # The sides of a patch come after the places of patches along the same axis.
    cells = cells.movedim(-1, -7).movedim(-3, -5).movedim(-2, -3)
    return cells.reshape(*cells.shape[:-6], depth * frames, rows * patch, columns * patch)
