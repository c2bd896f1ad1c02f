"""The layers of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

from autopipe_components.dit import GatedFeedForward, JointAttention, Rotary
from autopipe_components.networks.embeddings import Timesteps

Options: TypeAlias = Mapping[str, Any]
"""What attention processors of the user take."""

_WAVES, _HIDDEN = 256, 1024
"""The widths of the sinusoids of time, and of the hidden layer after them."""


class ZImageTransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, with norms before and after both.

    The time scales what both take, and gates what both add, if `condition` is its width.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        eps: float,
        norm_eps: float | None,
        condition: int | None = None,
    ) -> None:
        super().__init__()
        self.attention = JointAttention(
            width, heads=heads, head_dim=width // heads, bias=False, norm_eps=norm_eps
        )
        self.attention.to_out[0] = nn.Linear(width, width, bias=False)
        self.feed_forward = GatedFeedForward(width, int(width / 3 * 8))
        self.attention_norm1 = nn.RMSNorm(width, eps=eps)
        self.ffn_norm1 = nn.RMSNorm(width, eps=eps)
        self.attention_norm2 = nn.RMSNorm(width, eps=eps)
        self.ffn_norm2 = nn.RMSNorm(width, eps=eps)
        self.adaLN_modulation: nn.Sequential | None = None
        if condition is not None:
            self.adaLN_modulation = nn.Sequential(nn.Linear(condition, 4 * width))

    def forward(
        self,
        tokens: Tensor,
        rotary: Rotary,
        bias: Tensor | None,
        options: Options,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Return the tokens, (B, N, width), after the layers.

        Args:
            rotary: the positions, (B, N, head).
            bias: (B, 1, N), added to the scores.
            options: for attention processors of the user.
            condition: the embedded time (B, D), for blocks that take it.
        """
        scale, gate, feed_scale, feed_gate = self._modulation(condition)
        attended = self.attention(
            self.attention_norm1(tokens) * scale,
            attention_mask=bias,
            image_rotary_emb=rotary,
            **options,
        )
        tokens = tokens + gate * self.attention_norm2(attended)
        fed = self.feed_forward(self.ffn_norm1(tokens) * feed_scale)
        tokens = tokens + feed_gate * self.ffn_norm2(fed)
        return tokens

    def _modulation(self, condition: Tensor | None) -> tuple[Tensor | float, ...]:
        if self.adaLN_modulation is None or condition is None:
            return (1.0, 1.0, 1.0, 1.0)
        scale, gate, feed_scale, feed_gate = self.adaLN_modulation(condition)[:, None].chunk(4, -1)
        return 1 + scale, gate.tanh(), 1 + feed_scale, feed_gate.tanh()


class TimeEmbedding(nn.Module):
    """Embeds times (B,) as (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.waves = Timesteps(_WAVES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.mlp = nn.Sequential(nn.Linear(_WAVES, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, width))

    def forward(self, time: Tensor) -> Tensor:
        embedded: Tensor = self.mlp(self.waves(time).to(self.mlp[0].weight.dtype))
        return embedded


class FinalLayer(nn.Module):
    """Turns tokens (B, N, width) into patches (B, N, numbers), scaled by the time first."""

    def __init__(self, width: int, numbers: int, condition: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, numbers)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(condition, width))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        scale = 1 + self.adaLN_modulation(condition)[:, None]
        patches: Tensor = self.linear(self.norm_final(tokens) * scale)
        return patches
