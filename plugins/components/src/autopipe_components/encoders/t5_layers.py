"""The layers of T5's encoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .activations import activation
from .attention import attend

_HEADROOM = 1000
"""How far below the largest float16 states are cut off, once there are infinite ones."""


class T5LayerNorm(nn.Module):
    """Divides by the root mean square ("Root Mean Square Layer Normalization", arXiv 1910.07467).

    The mean square is computed in float32.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.variance_epsilon = eps

    def forward(self, states: Tensor) -> Tensor:
        """Return states (B, N, D)."""
        square = states.to(torch.float32).pow(2).mean(-1, keepdim=True)
        states = states * torch.rsqrt(square + self.variance_epsilon)
        if self.weight.dtype in (torch.float16, torch.bfloat16):
            states = states.to(self.weight.dtype)
        return self.weight * states


class T5DenseActDense(nn.Module):
    """The feed-forward part of the first T5; `wo` may have a larger dtype than the rest."""

    inputs: tuple[str, ...] = ("wi",)

    def __init__(self, config: Any) -> None:
        super().__init__()
        for name in self.inputs:
            setattr(self, name, nn.Linear(config.d_model, config.d_ff, bias=False))
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = activation(config.dense_act_fn, "dense_act_fn, or that of feed_forward_proj,")

    def inner(self, states: Tensor) -> Tensor:
        """Return the activations (B, N, d_ff)."""
        return self.act(self._input("wi", states))

    def _input(self, name: str, states: Tensor) -> Tensor:
        projected: Tensor = self.get_submodule(name)(states)
        return projected

    def forward(self, states: Tensor) -> Tensor:
        """Return states (B, N, D)."""
        states = self.dropout(self.inner(states))
        projected: Tensor = self.wo(states.to(self.wo.weight.dtype))
        return projected


class T5DenseGatedActDense(T5DenseActDense):
    """The feed-forward part of T5 1.1 ("GLU Variants Improve Transformer", arXiv 2002.05202)."""

    inputs = ("wi_0", "wi_1")

    def inner(self, states: Tensor) -> Tensor:
        return self.act(self._input("wi_0", states)) * self._input("wi_1", states)


class T5LayerFF(nn.Module):
    """The second half of a block."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        kind = T5DenseGatedActDense if config.is_gated_act else T5DenseActDense
        self.DenseReluDense = kind(config)  # The name in checkpoints, whatever the activation.
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, states: Tensor) -> Tensor:
        """Return states (B, N, D)."""
        changed: Tensor = states + self.dropout(self.DenseReluDense(self.layer_norm(states)))
        return changed


class T5Attention(nn.Module):
    """Self-attention without scaling; the first block has the biases of relative positions."""

    def __init__(self, config: Any, is_first: bool) -> None:
        super().__init__()
        width, inner = config.d_model, config.num_heads * config.d_kv
        self.n_heads, self.dropout = config.num_heads, config.dropout_rate
        self.buckets = config.relative_attention_num_buckets
        self.farthest = config.relative_attention_max_distance
        self.q = nn.Linear(width, inner, bias=False)
        self.k = nn.Linear(width, inner, bias=False)
        self.v = nn.Linear(width, inner, bias=False)
        self.o = nn.Linear(inner, width, bias=False)
        if is_first:
            self.relative_attention_bias = nn.Embedding(self.buckets, self.n_heads)

    def position_bias(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Return what is added to the scores of all blocks, (1 or B, heads, N, N).

        It has the biases of relative positions, and leaves padding out.
        """
        places = torch.arange(states.shape[1], dtype=torch.long, device=states.device)
        bias = self.relative_attention_bias(self._bucket(places[None, :] - places[:, None]))
        bias = bias.permute(2, 0, 1)[None]
        if mask is not None and mask.dtype is torch.bool:
            bias = torch.where(mask, bias, torch.finfo(states.dtype).min)
        elif mask is not None:
            bias = bias + mask
        found: Tensor = bias.contiguous()
        return found

    def _bucket(self, offset: Tensor) -> Tensor:
        """Return the bucket of each relative position.

        Half of the buckets are for positions after a token. Half of each half are for one distance
        each, the others for distances that grow logarithmically.
        """
        half = self.buckets // 2
        exact = half // 2
        distance = offset.abs()
        share = torch.log(distance.float() / exact) / math.log(self.farthest / exact)
        far = exact + (share * (half - exact)).to(torch.long)
        far = torch.min(far, torch.full_like(far, half - 1))
        after = (offset > 0).to(torch.long) * half
        buckets: Tensor = after + torch.where(distance < exact, distance, far)
        return buckets

    def forward(
        self, states: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return states (B, N, D), and `bias`, which the first block computes."""
        if bias is None:
            bias = self.position_bias(states, mask)
        attended = attend(
            self.q(states),
            self.k(states),
            self.v(states),
            heads=self.n_heads,
            mask=bias,
            scale=1.0,
            dropout=self.dropout if self.training else 0.0,
        )
        return self.o(attended), bias


class T5LayerSelfAttention(nn.Module):
    """The first half of a block."""

    def __init__(self, config: Any, is_first: bool) -> None:
        super().__init__()
        self.SelfAttention = T5Attention(config, is_first)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self, states: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return states (B, N, D), and the bias for the next block."""
        attended, bias = self.SelfAttention(self.layer_norm(states), mask, bias)
        return states + self.dropout(attended), bias


class T5Block(nn.Module):
    """Self-attention, then a feed-forward part."""

    def __init__(self, config: Any, is_first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([T5LayerSelfAttention(config, is_first), T5LayerFF(config)])

    def forward(
        self, states: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return states (B, N, D), and the bias for the next block; float16 is kept finite.

        Args:
            mask: as `expanded_mask` returns it.
            bias: what the first block computed; None for itself.
        """
        attention, feed_forward = self.layer
        states, bias = attention(states, mask, bias)
        return _finite(feed_forward(_finite(states))), bias


def _finite(states: Tensor) -> Tensor:
    """Return float16 states without infinite ones."""
    if states.dtype is not torch.float16:
        return states
    largest = torch.finfo(torch.float16).max
    limit = torch.where(states.isinf().any(), largest - _HEADROOM, largest)
    return torch.clamp(states, min=-limit, max=limit)
