"""Multi-head attention over tokens and over pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ArgumentError
from autopipe.wording import shown

from .attention_members import AttentionMembers
from .attention_processors import AttnProcessor2_0

# On these devices scaled_dot_product_attention computes scores in float32 for every dtype.
_SCORES_IN_FLOAT32 = frozenset({"cpu", "cuda"})


class MultiHeadAttention(AttentionMembers):
    """The base class of attention layers, with heads, slicing and the output projection.

    `upcast` computes the scores in float32, for models whose scores exceed the range of float16;
    it costs nothing on devices that do so anyway. `context_dim` is the width of the encoded prompt;
    None for self-attention.
    """

    def __init__(
        self,
        query_dim: int,
        *,
        heads: int,
        head_dim: int,
        context_dim: int | None,
        bias: bool = False,
        upcast: bool = False,
    ) -> None:
        super().__init__()
        inner_dim = heads * head_dim
        self.context_dim = context_dim
        self.heads = heads
        self.upcast = upcast
        self.slice_size: int | None = None
        self.to_q = nn.Linear(query_dim, inner_dim, bias=bias)
        # A list, because checkpoints name the projection `to_out.0`; processors use both entries.
        self.to_out = nn.ModuleList([nn.Linear(inner_dim, query_dim), nn.Dropout(0.0)])

    def check_slice(self, size: int | None) -> None:
        """Raise ArgumentError if slices of `size` heads are impossible; None means all heads."""
        if size is not None and not 1 <= size <= self.heads:
            raise ArgumentError(
                f"slice_size is {size}, but an attention layer has {self.heads} heads; give 1 to "
                f"{self.heads}"
            )

    def attend(
        self, hidden: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Return the attention of `hidden`, (B, Q, query_dim), to `key` and `value`.

        `key` and `value` are (B, K, heads * head_dim). `bias`, (B, 1, K), is added to the scores.
        """
        return self.mix(self.to_q(hidden), key, value, bias)

    def mix(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the attention of projected queries, (B, Q, heads * head_dim), as `attend` does."""
        return self.project(self.attended(query, key, value, bias))

    def attended(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Return what `mix` returns before the output projection, (B, Q, heads * head_dim).

        So an add-on can add attention to further keys and values of its own.
        """
        query, key, value = map(self._split_heads, (query, key, value))
        attended = self._attend(query, key, value, None if bias is None else bias[:, None])
        return attended.transpose(1, 2).flatten(2)

    def project(self, attended: Tensor) -> Tensor:
        """Return the output projection, (B, Q, query_dim), of what `attended` returns."""
        project = next(iter(self.to_out))
        projected: Tensor = project(attended)
        return projected

    def check_context(self, context: Tensor | None, batch: int) -> Tensor:
        """Return `context`; raise ArgumentError if it is not (batch, tokens, context_dim)."""
        if context is None:
            raise ArgumentError("this model attends to a prompt: pass encoder_hidden_states")
        if context.ndim != 3 or context.shape[0] != batch or context.shape[2] != self.context_dim:
            raise ArgumentError(
                f"encoder_hidden_states has shape {tuple(context.shape)}; for {batch} samples this "
                f"model needs ({batch}, tokens, {self.context_dim})"
            )
        return context

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """Return `tokens`, (B, N, heads * d), as a view (B, heads, N, d)."""
        return torch.unflatten(tokens, -1, (self.heads, -1)).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        if self.upcast and query.device.type not in _SCORES_IN_FLOAT32:
            bias = None if bias is None else bias.float()
            attended = self._attend_as_given(query.float(), key.float(), value.float(), bias)
            return attended.to(query.dtype)
        return self._attend_as_given(query, key, value, bias)

    def _attend_as_given(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None
    ) -> Tensor:
        if self.slice_size is None:
            return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self._attend_in_slices(query, key, value, bias, self.slice_size)

    @staticmethod
    def _attend_in_slices(
        query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, size: int
    ) -> Tensor:
        samples = []
        for i in range(query.shape[0]):
            slices = (
                F.scaled_dot_product_attention(
                    q, k, v, attn_mask=None if bias is None else bias[i : i + 1]
                )
                for q, k, v in zip(
                    *(torch.split(one[i : i + 1], size, dim=1) for one in (query, key, value))
                )
            )
            samples.append(torch.cat(tuple(slices), dim=1))
        return torch.cat(samples)


class Attention(MultiHeadAttention):
    """Attention of (B, Q, query_dim) to a context (B, K, context_dim), or self-attention.

    With `norms_context`, a layer norm is applied to the context first.
    """

    def __init__(
        self,
        query_dim: int,
        *,
        heads: int,
        head_dim: int,
        context_dim: int | None = None,
        bias: bool = False,
        upcast: bool = False,
        norms_context: bool = False,
    ) -> None:
        super().__init__(
            query_dim,
            heads=heads,
            head_dim=head_dim,
            context_dim=context_dim,
            bias=bias,
            upcast=upcast,
        )
        if norms_context:
            self.norm_cross = nn.LayerNorm(context_dim or query_dim)
        self.to_k = nn.Linear(context_dim or query_dim, heads * head_dim, bias=bias)
        self.to_v = nn.Linear(context_dim or query_dim, heads * head_dim, bias=bias)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """Attend to `encoder_hidden_states`, (B, K, context_dim), or to `hidden_states` itself.

        Args:
            hidden_states: (B, Q, query_dim).
            attention_mask: (B, 1, K), added to the scores.
            **options: for a processor of the user.

        Raises:
            ArgumentError: if the context is missing, or a shape doesn't fit.
        """
        if type(self.processor) is not AttnProcessor2_0:
            return self.processed(hidden_states, encoder_hidden_states, attention_mask, options)
        return self.compute(hidden_states, encoder_hidden_states, attention_mask)

    def read(self, context: Tensor | None, hidden: Tensor) -> Tensor:
        """Return what keys and values are made of: the context, normalised, or `hidden` itself.

        Raises:
            ArgumentError: if the context is missing, or its shape doesn't fit.
        """
        if self.context_dim is None:
            return hidden
        context = self.check_context(context, hidden.shape[0])
        return context if self.norm_cross is None else self.norm_cross(context)

    def compute(
        self, hidden: Tensor, context: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """Return what `forward` returns without a processor."""
        context = self.read(context, hidden)
        check_bias(bias, context.shape[1])
        return self.attend(hidden, self.to_k(context), self.to_v(context), bias)


class SpatialAttention(Attention):
    """Self-attention over the pixels of (B, C, H, W) after normalisation, added to the input.

    Args:
        groups: of the normalisation; None for none.
        head_dim: the width of a head; by default `channels / heads`.
        output_scale_factor: what the sum is divided by.
    """

    residual_connection = True

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        groups: int | None,
        eps: float,
        head_dim: int | None = None,
        output_scale_factor: float = 1.0,
    ) -> None:
        super().__init__(channels, heads=heads, head_dim=head_dim or channels // heads, bias=True)
        if groups is not None:
            self.group_norm = nn.GroupNorm(groups, channels, eps=eps)
        self.rescale_output_factor = output_scale_factor

    def compute(
        self, hidden: Tensor, context: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        normed = hidden if self.group_norm is None else self.group_norm(hidden)
        attended = super().compute(to_tokens(normed), context, bias)
        added = hidden + to_pixels(attended, hidden.shape[-2:])
        factor = self.rescale_output_factor
        return added if factor == 1 else added / factor


def to_tokens(pixels: Tensor) -> Tensor:
    """Return `pixels`, (B, C, H, W), as contiguous tokens (B, H * W, C) for the next layers."""
    return pixels.flatten(2).transpose(1, 2).contiguous()


def to_pixels(tokens: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return `tokens`, (B, H * W, C), as a view (B, C, H, W) of `size`."""
    return torch.unflatten(tokens.transpose(1, 2), 2, size)


def check_bias(bias: Tensor | None, tokens: int) -> None:
    """Raise ArgumentError if `bias`, (B, 1, K), is for another number of tokens."""
    if bias is not None and bias.shape[-1] != tokens:
        raise ArgumentError(
            f"the attention mask is for {bias.shape[-1]} tokens, but there are {tokens}; give one "
            "value for each"
        )


def set_attention_slices(
    model: nn.Module, slice_size: str | int | Sequence[int | None] | None
) -> None:
    """Set the slices of all attention layers; see `UNet2DConditionModel.set_attention_slice`."""
    layers = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    sizes: Sequence[int | None]
    if isinstance(slice_size, str):
        if slice_size not in ("auto", "max"):
            raise ArgumentError(f"slice_size is {shown(slice_size)}; use 'auto', 'max' or a number")
        sizes = [max(layer.heads // 2, 1) if slice_size == "auto" else 1 for layer in layers]
    elif slice_size is None or isinstance(slice_size, int):
        sizes = [slice_size] * len(layers)
    else:
        sizes = slice_size
    if len(sizes) != len(layers):
        raise ArgumentError(
            f"{len(sizes)} slice sizes were given for {len(layers)} attention layers; "
            "give one for each"
        )
    # All checks come before the first change, so that a failing call changes nothing.
    for layer, size in zip(layers, sizes):
        layer.check_slice(size)
    for layer, size in zip(layers, sizes):
        layer.slice_size = size
