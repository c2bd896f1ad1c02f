"""Images and captions as sequences of tokens, each filled up to a multiple of 32.

A caption comes first in time, a token at each moment, and the image after it; its patches are the
cells of a grid (frames, rows, columns). A learned token fills the rest of a sequence, and is seen
like any other. Only what makes the sequences of a batch equally long is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from autopipe_components.dit import grid_positions

MULTIPLE = 32
"""The number of tokens that the length of each sequence is a multiple of."""


def filled_length(count: int) -> int:
    """Return the length of a sequence of `count` tokens once it is filled up."""
    return -(-count // MULTIPLE) * MULTIPLE


def to_patches(image: Tensor, patch: int, frames: int) -> Tensor:
    """Return the patches of an image (C, F, H, W), in the order of `grid_of`.

    Each is `frames * patch * patch` cells, with the channels of a cell beside each other.
    """
    depth, rows, columns = grid_of(image, patch, frames)
    cells = image.reshape(-1, depth, frames, rows, patch, columns, patch)
    return cells.permute(1, 3, 5, 2, 4, 6, 0).reshape(depth * rows * columns, -1)


def from_patches(patches: Tensor, grid: tuple[int, int, int], patch: int, frames: int) -> Tensor:
    """Return the image (C, F, H, W) of patches; the inverse of `to_patches`."""
    cells = patches.reshape(*grid, frames, patch, patch, -1).permute(6, 0, 3, 1, 4, 2, 5)
    return cells.flatten(5, 6).flatten(3, 4).flatten(1, 2)


def grid_of(image: Tensor, patch: int, frames: int) -> tuple[int, int, int]:
    """Return the number of patches of an image (C, F, H, W) along frames, rows and columns."""
    depth, height, width = image.shape[1:]
    return depth // frames, height // patch, width // patch


@dataclass(frozen=True)
class Tokens:
    """The sequences of a batch, in one tensor.

    Attributes:
        values: (B, N, width).
        positions: (B, N, 3), the moment, row and column of each token.
        lengths: the length of each sequence; what follows it is hidden.
    """

    values: Tensor
    positions: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, values: Sequence[Tensor], positions: Sequence[Tensor]) -> Tokens:
        """Return the batch of sequences (N, width) and their positions (N, 3)."""
        lengths = tuple(map(len, values))
        return cls(_padded(values), _padded(positions), lengths)

    @classmethod
    def filled(cls, values: Sequence[Tensor], grids: Sequence[Tensor], fill: Tensor) -> Tokens:
        """Return the batch of sequences, each filled up to a multiple of 32.

        Args:
            values: (N, width) each.
            grids: the positions (N, 3) of each; those that lack are 0.
            fill: the token (1, width) that fills.
        """
        full = [
            torch.cat([one, fill.to(one).expand(filled_length(len(one)) - len(one), -1)])
            for one in values
        ]
        places = [
            torch.cat([grid, grid.new_zeros(len(one) - len(grid), grid.shape[1])])
            for one, grid in zip(full, grids)
        ]
        return cls.of(full, places)

    def replaced(self, values: Tensor) -> Tokens:
        """Return the same sequences with other `values`."""
        return Tokens(values, self.positions, self.lengths)

    def followed_by(self, other: Tokens) -> Tokens:
        """Return the sequences, each followed by that of `other`."""

        def joined(first: Tensor, second: Tensor) -> list[Tensor]:
            both = zip(first, self.lengths, second, other.lengths)
            return [torch.cat([a[:n], b[:k]]) for a, n, b, k in both]

        return Tokens.of(
            joined(self.values, other.values), joined(self.positions, other.positions)
        )

    def bias(self) -> Tensor | None:
        """Return what hides the ends, (B, 1, N), to be added to scores; None if nothing does."""
        longest = max(self.lengths)
        if min(self.lengths) == longest:
            return None
        places = torch.arange(longest, device=self.values.device)
        ends = torch.tensor(self.lengths, device=self.values.device)
        hidden = places >= ends[:, None]
        bias = torch.zeros(hidden.shape, dtype=self.values.dtype, device=hidden.device)
        return bias.masked_fill(hidden, float("-inf"))[:, None]


def positions_of_caption(length: int, device: torch.device) -> Tensor:
    """Return the positions (`length`, 3) of the tokens of a caption: the moments from 1 on."""
    return grid_positions((length, 1, 1), start=(1, 0, 0), device=device)


def positions_of_image(grid: tuple[int, int, int], caption: int, device: torch.device) -> Tensor:
    """Return the positions of the patches of an image after a filled caption of that length."""
    return grid_positions(grid, start=(caption + 1, 0, 0), device=device)


def _padded(sequences: Sequence[Tensor]) -> Tensor:
    padded: Tensor = pad_sequence(list(sequences), batch_first=True)
    return padded
