"""Images as sequences of patches, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopipe.errors import ConfigError
from autopipe_components.networks.attention import to_tokens

_MOST_NUMBERS = 1 << 26
"""The most numbers in the position embedding of a network, far above any published one."""


class PatchEmbed(nn.Module):
    """Embeds the patches of an image with their positions, (B, C, H, W) -> (B, N, width).

    "An Image is Worth 16x16 Words" (Dosovitskiy et al., 2021), with the fixed two-dimensional
    sinusoids of masked autoencoders (He et al., 2022). N is (H // patch) * (W // patch), row by
    row. Images of another size than `side` have the same range of positions, in finer or coarser
    steps.

    Raises:
        ConfigError: if the patches don't fill the image, `width` is not a multiple of 4, or the
            embedding of all positions would be absurdly large.
    """

    def __init__(self, *, side: int, patch: int, channels: int, width: int) -> None:
        super().__init__()
        self.cells = side // patch
        if side % patch:
            raise ConfigError(f"sample_size is {side}; it must be divisible by patch_size, {patch}")
        if width % 4:
            raise ConfigError(
                f"num_attention_heads * attention_head_dim is {width}; it must be divisible by 4"
            )
        if self.cells**2 * width > _MOST_NUMBERS:
            raise ConfigError(
                f"sample_size asks for positions of {self.cells} x {self.cells} patches, "
                f"attention_head_dim for {width} numbers of each; the limit is {_MOST_NUMBERS:,}"
            )
        self.proj = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        positions = embed_positions(self.cells, self.cells, width, span=self.cells)
        self.register_buffer("pos_embed", positions, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.proj(pixels)
        width, rows, columns = patches.shape[1:]
        positions: Tensor = self.pos_embed  # type: ignore[assignment]  # a buffer
        if (rows, columns) != (self.cells, self.cells):
            positions = embed_positions(rows, columns, width, span=self.cells)
        return to_tokens(patches) + positions.to(patches)


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
    patches = torch.unflatten(tokens, 2, (patch, patch, -1))
    grid = torch.unflatten(patches, 1, (rows, columns))
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
