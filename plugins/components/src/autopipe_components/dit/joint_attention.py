"""Attention over two streams of tokens at once, such as those of a text and of an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..networks.attention import MultiHeadAttention, check_bias
from ..networks.attention_processors import JointAttnProcessor2_0
from .rotary import Rotary, rotated

Streams = Tensor | tuple[Tensor, Tensor | None]
"""The attended tokens: of one stream, or of hidden states and context."""


class JointAttention(MultiHeadAttention):
    """Attention of hidden states and context to both, under a single softmax; or self-attention.

    Section 4 of Esser et al. 2024 (arXiv:2403.03206). Each stream has projections of its own; the
    tokens of the context come first.

    Args:
        query_dim: the width of the hidden states.
        heads, head_dim: the number and the width of the heads.
        context_dim: the width of the context; None for self-attention.
        bias: whether the projections to queries, keys and values have biases.
        norm_eps: of the root mean square norms of the heads of queries and keys (Henry et al. 2020,
            arXiv:2010.04245); None for no norms.
        projects_out: whether the hidden states have an output projection; without, the caller
            projects them.
        projects_context: whether the context has one. Without, it is not returned, as in the last
            layer of a network, which needs it no longer.
    """

    default_processor = JointAttnProcessor2_0
    fused_projections = False
    """Whether projections are one product, which processors ask; they are not."""

    def __init__(
        self,
        query_dim: int,
        *,
        heads: int,
        head_dim: int,
        context_dim: int | None = None,
        bias: bool = True,
        norm_eps: float | None = None,
        projects_out: bool = True,
        projects_context: bool = True,
    ) -> None:
        super().__init__(
            query_dim, heads=heads, head_dim=head_dim, context_dim=context_dim, bias=bias
        )
        inner = heads * head_dim
        self.head_dim = head_dim
        self.to_k = nn.Linear(query_dim, inner, bias=bias)
        self.to_v = nn.Linear(query_dim, inner, bias=bias)
        self.norm_added_q: Any = None
        self.norm_added_k: Any = None
        self.to_add_out: Any = None
        if not projects_out:
            self.to_out = nn.ModuleList()
        if norm_eps is not None:
            self.norm_q = nn.RMSNorm(head_dim, eps=norm_eps)
            self.norm_k = nn.RMSNorm(head_dim, eps=norm_eps)
        if context_dim is None:
            return
        self.add_q_proj = nn.Linear(context_dim, inner, bias=bias)
        self.add_k_proj = nn.Linear(context_dim, inner, bias=bias)
        self.add_v_proj = nn.Linear(context_dim, inner, bias=bias)
        if projects_context:
            self.to_add_out = nn.Linear(inner, context_dim)
        if norm_eps is not None:
            self.norm_added_q = nn.RMSNorm(head_dim, eps=norm_eps)
            self.norm_added_k = nn.RMSNorm(head_dim, eps=norm_eps)

    @property
    def added_kv_proj_dim(self) -> int | None:
        """The width of the context, by the name that processors read."""
        return self.context_dim

    @property
    def context_pre_only(self) -> bool:
        """Whether the context is not returned, by the name that processors read."""
        return self.context_dim is not None and self.to_add_out is None

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotary | None = None,
        **options: Any,
    ) -> Any:
        """Attend to both streams, or to `hidden_states` alone.

        Args:
            hidden_states: (B, N, query_dim).
            encoder_hidden_states: (B, K, context_dim); None for one stream.
            attention_mask: (B, 1, K + N), added to the scores.
            image_rotary_emb: for K + N tokens.
            **options: for a processor of the user.

        Returns:
            The hidden states and the context, None where it has no output projection; or with one
            stream the hidden states alone.

        Raises:
            ArgumentError: if a shape doesn't fit.
        """
        if type(self.processor) is not JointAttnProcessor2_0:
            inputs = {} if image_rotary_emb is None else {"image_rotary_emb": image_rotary_emb}
            return self.processed(
                hidden_states, encoder_hidden_states, attention_mask, options, **inputs
            )
        return self.compute(hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)

    def compute(
        self,
        hidden: Tensor,
        context: Tensor | None = None,
        bias: Tensor | None = None,
        rotary: Rotary | None = None,
    ) -> Streams:
        """Return what `forward` returns without a processor."""
        heads = [self.to_q(hidden), self.to_k(hidden), self.to_v(hidden)]
        query, key, value = map(self._split_heads, heads)
        query, key = _normed(query, self.norm_q), _normed(key, self.norm_k)
        if context is not None:
            context = self.check_context(context, len(hidden))
            more = [self.add_q_proj(context), self.add_k_proj(context), self.add_v_proj(context)]
            first, first_key, first_value = map(self._split_heads, more)
            query = torch.cat([_normed(first, self.norm_added_q), query], dim=2)
            key = torch.cat([_normed(first_key, self.norm_added_k), key], dim=2)
            value = torch.cat([first_value, value], dim=2)
        if rotary is not None:
            query, key = rotated(query, rotary), rotated(key, rotary)
        check_bias(bias, key.shape[2])
        attended = self._attend(query, key, value, None if bias is None else bias[:, None])
        tokens = attended.transpose(1, 2).flatten(2)
        if context is None:
            return self._projected(tokens)
        told, seen = tokens[:, : context.shape[1]], tokens[:, context.shape[1] :]
        added = None if self.to_add_out is None else self.to_add_out(told)
        return self._projected(seen), added

    def _projected(self, tokens: Tensor) -> Tensor:
        return self.project(tokens) if len(self.to_out) else tokens


def _normed(heads: Tensor, norm: Any) -> Tensor:
    if norm is None:
        return heads
    normed: Tensor = norm(heads)
    return normed
