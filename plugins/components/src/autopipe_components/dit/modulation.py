"""Layer norms whose shift, scale and gate are computed from a condition, such as the time.

Section 3.2 of "Scalable Diffusion Models with Transformers" (Peebles and Xie, 2023,
arXiv:2212.09748), where they are called adaLN-Zero.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6


def modulated(normed: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return tokens (B, N, width), scaled by `1 + scale` and shifted; both are (B, 1, width)."""
    return normed * (1 + scale) + shift


class ZeroNorm(nn.Module):
    """A layer norm that also returns what later parts of a block are modulated with.

    Args:
        width: of the tokens and of the condition.
        parts: how many vectors the condition gives. The first two are the shift and the scale of
            this norm; the others are returned: with 6 the gate of the attention, then shift, scale
            and gate of the feed-forward layer; with 3 one gate.
    """

    def __init__(self, width: int, parts: int = 6) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(width, parts * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=EPS)

    def forward(self, tokens: Tensor, condition: Tensor) -> tuple[Tensor, ...]:
        """Return the modulated tokens, and the further parts, (B, 1, width) each.

        Args:
            tokens: (B, N, width).
            condition: (B, width).
        """
        shift, scale, *further = self.vectors(condition)
        return (modulated(self.norm(tokens), shift, scale), *further)

    def vectors(self, condition: Tensor) -> tuple[Tensor, ...]:
        """Return the parts, (B, 1, width) each."""
        found: Tensor = self.linear(F.silu(condition))
        return found[:, None].chunk(self.parts, dim=-1)


class ContinuousNorm(nn.Module):
    """A layer norm with scale and shift, in this order, from a condition; the last of a network.

    Args:
        width: of the tokens.
        condition_width: of the condition; by default that of the tokens.
    """

    def __init__(self, width: int, condition_width: int | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(condition_width or width, 2 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=EPS)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Return the modulated tokens, (B, N, width).

        Args:
            tokens: (B, N, width).
            condition: (B, condition_width).
        """
        scale, shift = self.linear(F.silu(condition).to(tokens.dtype))[:, None].chunk(2, dim=-1)
        return modulated(self.norm(tokens), shift, scale)
