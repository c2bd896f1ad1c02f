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

    inputs = ("wi",)

    def __init__(self, config: Any) -> None:
        super().__init__()
        for name in self.inputs:
            setattr(self, name, nn.Linear(config.d_model, config.d_ff, bias=False))
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = activation(config.dense_act_fn, "dense_act_fn, or that of feed_forward_proj,")

    def inner(self, states: Tensor) -> Tensor:
        """Return the activations (B, N, d_ff)."""
        return self.act(self.wi(states))

    def forward(self, states: Tensor) -> Tensor:
        """Return states (B, N, D)."""
        states = self.dropout(self.inner(states))
        projected: Tensor = self.wo(states.to(self.wo.weight.dtype))
        return projected


class T5DenseGatedActDense(T5DenseActDense):
    """The feed-forward part of T5 1.1 ("GLU Variants Improve Transformer", arXiv 2002.05202)."""

    inputs = ("wi_0", "wi_1")

    def inner(self, states: Tensor) -> Tensor:
        gated: Tensor = self.act(self.wi_0(states)) * self.wi_1(states)
        return gated


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

    def position_bias(self, length: int) -> Tensor:
        """Return what relative positions add to the scores of all blocks, (1, heads, N, N)."""
        table = self.relative_attention_bias
        places = torch.arange(length, dtype=torch.long, device=table.weight.device)
        biases: Tensor = table(self._bucket(places[None, :] - places[:, None]))
        return biases.permute(2, 0, 1)[None]

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

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return states (B, N, D); `bias` is added to the scores."""
        attended = attend(
            self.q(states),
            self.k(states),
            self.v(states),
            heads=self.n_heads,
            mask=bias,
            scale=1.0,
            dropout=self.dropout if self.training else 0.0,
        )
        projected: Tensor = self.o(attended)
        return projected


class T5LayerSelfAttention(nn.Module):
    """The first half of a block."""

    def __init__(self, config: Any, is_first: bool) -> None:
        super().__init__()
        self.SelfAttention = T5Attention(config, is_first)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return states (B, N, D)."""
        changed: Tensor = states + self.dropout(self.SelfAttention(self.layer_norm(states), bias))
        return changed


class T5Block(nn.Module):
    """Self-attention, then a feed-forward part."""

    def __init__(self, config: Any, is_first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([T5LayerSelfAttention(config, is_first), T5LayerFF(config)])

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return states (B, N, D); float16 is kept finite."""
        attention, feed_forward = self.layer
        return _finite(feed_forward(_finite(attention(states, bias))))


def _finite(states: Tensor) -> Tensor:
    """Return float16 states without infinite ones."""
    if states.dtype is not torch.float16:
        return states
    largest = torch.finfo(torch.float16).max
    limit = torch.where(states.isinf().any(), largest - _HEADROOM, largest)
    return torch.clamp(states, min=-limit, max=limit)
