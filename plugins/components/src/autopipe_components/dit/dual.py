"""Blocks with two streams, of which one also attends to itself alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .blocks import JointBlock
from .joint_attention import JointAttention
from .modulation import ZeroNorm, modulated


class DualNorm(ZeroNorm):
    """A layer norm that modulates the tokens twice, for two attention layers side by side."""

    def __init__(self, width: int) -> None:
        super().__init__(width, parts=9)

    def forward(self, tokens: Tensor, condition: Tensor) -> tuple[Tensor, ...]:
        """Return what a `ZeroNorm` of six parts returns, then tokens and gate of the second layer.

        Args:
            tokens: (B, N, width).
            condition: (B, width).
        """
        shift, scale, *parts, shift_2, scale_2, gate_2 = self.vectors(condition)
        normed = self.norm(tokens)
        return (
            modulated(normed, shift, scale),
            *parts,
            modulated(normed, shift_2, scale_2),
            gate_2,
        )


class DualBlock(JointBlock):
    """A joint block whose tokens also attend to themselves, before the feed-forward layer.

    Its second attention layer has the norm, the shift, the scale and the gate beside those of the
    first. The arguments are those of `JointBlock`.
    """

    def __init__(self, width: int, *, heads: int, head_dim: int, **options: Any) -> None:
        super().__init__(width, heads=heads, head_dim=head_dim, **options)
        self.norm1 = DualNorm(width)
        self.attn2 = JointAttention(
            width, heads=heads, head_dim=head_dim, norm_eps=options.get("norm_eps")
        )

    def attend_further(self, tokens: Tensor, *further: Tensor) -> Tensor:
        normed, gate = further
        attended: Tensor = tokens + gate * self.attn2(normed)
        return attended
