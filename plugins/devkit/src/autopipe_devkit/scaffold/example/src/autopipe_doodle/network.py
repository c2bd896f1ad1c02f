"""The network: convolutions over pixels, told of the time and of the text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from autopipe import ModelMixin, register_to_config
from autopipe.modeling import entry_point
from torch import Tensor, nn

LETTERS = 128
"""Characters that are told apart; others count as the last."""


class DoodleNetwork(ModelMixin):
    """Predicts the way from a picture to noise.

    Args:
        sample_size: height and width of a picture, unless a call asks for others.
        width: the channels inside.
    """

    @register_to_config
    def __init__(self, sample_size: int = 16, width: int = 24) -> None:
        super().__init__()
        self.letters = nn.Embedding(LETTERS, width)
        self.read = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.time = nn.Linear(1, width)
        # Two channels more tell each pixel where it is.
        self.enter = nn.Conv2d(3 + 2, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, reach) for reach in (1, 2, 4))
        self.leave = nn.Conv2d(width, 3, 3, padding=1)

    @entry_point
    def encode(self, texts: Sequence[str]) -> Tensor:
        """(B, D) from B texts, of the letters in each; zeros for an empty one."""
        rows = []
        for text in texts:
            codes = [min(ord(letter), LETTERS - 1) for letter in text.lower()]
            seen = self.letters(torch.tensor(codes, dtype=torch.long, device=self.device))
            rows.append(self.read(seen.mean(0)) if codes else seen.new_zeros(seen.shape[-1]))
        return torch.stack(rows)

    def forward(self, sample: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """The velocity (B, 3, H, W) of `sample`.

        Args:
            sample: noisy pictures (B, 3, H, W); the pictures are in [-1, 1].
            time: (B,), from 0, a picture, to 1, noise.
            text: what `encode` gives, (B, D).
        """
        height, width = sample.shape[-2:]
        rows = torch.linspace(-1, 1, height, device=sample.device, dtype=sample.dtype)
        columns = torch.linspace(-1, 1, width, device=sample.device, dtype=sample.dtype)
        position = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        hidden = self.enter(torch.cat([sample, position.expand(len(sample), -1, -1, -1)], dim=1))
        told = text + self.time(time[:, None])
        for block in self.blocks:
            hidden = block(hidden, told)
        leaving: Tensor = self.leave(hidden)
        return leaving


class Block(nn.Module):
    """A convolution that reaches `reach` pixels far, scaled and shifted by what is told."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.tell = nn.Linear(width, 2 * width)
        self.look = nn.Conv2d(width, width, 3, padding=reach, dilation=reach)

    def forward(self, hidden: Tensor, told: Tensor) -> Tensor:
        """(B, W, H, W) to the same."""
        scale, shift = self.tell(told)[..., None, None].chunk(2, dim=1)
        seen: Tensor = self.look(nn.functional.silu(hidden * (1 + scale) + shift))
        return hidden + seen
