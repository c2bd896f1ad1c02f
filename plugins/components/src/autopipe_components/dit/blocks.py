"""A block with two streams of tokens that attend to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.transformer import FeedForward
from .joint_attention import JointAttention
from .modulation import EPS, ContinuousNorm, ZeroNorm, modulated
from .rotary import Rotary

_HALF_LIMIT = 65504.0
"""The largest number of float16."""


class JointBlock(nn.Module):
    """Joint attention and feed-forward layers of two streams, (B, N, width) and (B, K, width).

    Figure 2b of Esser et al. 2024 (arXiv:2403.03206).

    Args:
        width: of both streams.
        heads, head_dim: of the attention.
        norm_eps: of the norms of queries and keys; None for no norms.
        is_last: whether the context isn't needed after this block, which then only reads it.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        head_dim: int,
        norm_eps: float | None = None,
        is_last: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = ZeroNorm(width)
        self.norm1_context = ContinuousNorm(width) if is_last else ZeroNorm(width)
        self.attn = JointAttention(
            width,
            heads=heads,
            head_dim=head_dim,
            context_dim=width,
            norm_eps=norm_eps,
            projects_context=not is_last,
        )
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=EPS)
        self.ff = FeedForward(width, activation_fn="gelu-approximate")
        self.norm2_context: nn.Module | None = None
        self.ff_context: nn.Module | None = None
        if not is_last:
            self.norm2_context = nn.LayerNorm(width, elementwise_affine=False, eps=EPS)
            self.ff_context = FeedForward(width, activation_fn="gelu-approximate")

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        condition: Tensor,
        rotary: Rotary | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return both streams; None in place of the context if it isn't needed any more.

        Args:
            tokens: (B, N, width).
            context: (B, K, width).
            condition: (B, width).
            rotary: for K + N tokens.
            options: for attention processors of the user.
        """
        normed, gate, shift, scale, feed_gate, *further = self.norm1(tokens, condition)
        if self.ff_context is None:
            told, told_gate, told_rest = self.norm1_context(context, condition), None, []
        else:
            told, told_gate, *told_rest = self.norm1_context(context, condition)
        # A processor of the user may add what an image prompt says.
        attended, added, *prompted = self.attn(
            normed, told, image_rotary_emb=rotary, **(options or {})
        )
        tokens = self.attend_further(tokens + gate * attended, *further)
        tokens = _fed(tokens, self.norm2, self.ff, shift, scale, feed_gate)
        for one in prompted:
            tokens = tokens + one
        if self.ff_context is None or self.norm2_context is None:
            return tokens, None
        context = _fed(context + told_gate * added, self.norm2_context, self.ff_context, *told_rest)
        return tokens, within_half(context)

    def attend_further(self, tokens: Tensor, *further: Tensor) -> Tensor:
        """Return `tokens` after attention that a subclass adds; by default as they are.

        Args:
            further: what `norm1` returns after the parts for attention and feed-forward layer.
        """
        return tokens


def within_half(tokens: Tensor) -> Tensor:
    """Return tokens within the range of float16 if that is their dtype; activations overflow it."""
    return tokens.clip(-_HALF_LIMIT, _HALF_LIMIT) if tokens.dtype == torch.float16 else tokens


def _fed(
    tokens: Tensor, norm: nn.Module, feed: nn.Module, shift: Tensor, scale: Tensor, gate: Tensor
) -> Tensor:
    fed: Tensor = tokens + gate * feed(modulated(norm(tokens), shift, scale))
    return fed
