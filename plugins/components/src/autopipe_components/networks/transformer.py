"""The transformer that attends to pixels and to the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ConfigError, nearest
from autopipe.wording import shown

from .activations import Activation, quick_gelu
from .attention import Attention, to_pixels, to_tokens
from .checkpointing import Checkpointed
from .conditioning import Conditioning


@dataclass(frozen=True)
class TransformerOptions:
    """The options that the transformers of one block share.

    `depths` holds the number of layers of each transformer, in order. With `only_cross_attention`
    the first attention of a layer attends to the prompt as well.
    """

    depths: tuple[int, ...]
    heads: int
    context_dim: int
    groups: int
    linear_projection: bool = False
    only_cross_attention: bool = False
    upcast_attention: bool = False


class GEGLU(nn.Module):
    """Gated linear unit with GELU, (..., in) -> (..., out); Shazeer, 2020."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_features, 2 * out_features)

    def forward(self, hidden: Tensor) -> Tensor:
        value, gate = self.proj(hidden).chunk(2, dim=-1)
        gated: Tensor = value * F.gelu(gate)
        return gated


class Activated(nn.Module):
    """A projection and an activation function, (..., in) -> (..., out)."""

    def __init__(self, in_features: int, out_features: int, activation: Activation) -> None:
        super().__init__()
        self.proj = nn.Linear(in_features, out_features)
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        return self.activation(self.proj(hidden))


_ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": F.gelu,
    "gelu-approximate": partial(F.gelu, approximate="tanh"),
    # Not gated, in spite of its name.
    "geglu-approximate": quick_gelu,
}


class FeedForward(nn.Module):
    """A perceptron whose hidden layer is four times as wide.

    Args:
        activation_fn: "geglu" for a gated hidden layer; "gelu", "gelu-approximate" or
            "geglu-approximate".

    Raises:
        ConfigError: if there is no such activation function.
    """

    def __init__(self, width: int, *, activation_fn: str = "geglu", dropout: float = 0.0) -> None:
        super().__init__()
        if activation_fn != "geglu" and activation_fn not in _ACTIVATIONS:
            known = ["geglu", *_ACTIVATIONS]
            raise ConfigError(
                f"activation_fn is {shown(activation_fn)}, which feed-forward layers don't have; "
                f"known are {', '.join(known)}.{nearest(activation_fn, known)}"
            )
        activation = _ACTIVATIONS.get(activation_fn)
        self.net = nn.Sequential(
            GEGLU(width, 4 * width)
            if activation is None
            else Activated(width, 4 * width, activation),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        widen, dropout, narrow = self.net
        hidden = widen(hidden)
        if self.training:
            hidden = dropout(hidden)
        output: Tensor = narrow(hidden)
        return output


class BasicTransformerBlock(nn.Module):
    """One layer on (B, N, width): self-attention, attention to the prompt, feed-forward."""

    def __init__(self, width: int, options: TransformerOptions) -> None:
        super().__init__()
        self.only_cross_attention = options.only_cross_attention

        def attention(context_dim: int | None) -> Attention:
            return Attention(
                width,
                heads=options.heads,
                head_dim=width // options.heads,
                context_dim=context_dim,
                upcast=options.upcast_attention,
            )

        self.norm1 = nn.LayerNorm(width)
        self.attn1 = attention(options.context_dim if options.only_cross_attention else None)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = attention(options.context_dim)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, tokens: Tensor, cond: Conditioning) -> Tensor:
        context = cond.context if self.only_cross_attention else None
        options = cond.attention_kwargs
        tokens = tokens + self.attn1(self.norm1(tokens), context, cond.self_bias, **options)
        tokens = tokens + self.attn2(self.norm2(tokens), cond.context, cond.context_bias, **options)
        tokens = tokens + self.ff(self.norm3(tokens))
        return tokens


class Transformer2DModel(Checkpointed):
    """Transformer layers over the pixels of (B, channels, H, W), added to the input."""

    def __init__(self, channels: int, depth: int, options: TransformerOptions) -> None:
        super().__init__()
        if options.heads > channels:
            raise ConfigError(
                f"attention_head_dim asks for {options.heads} heads in a block of {channels} "
                f"channels (num_attention_heads, if that is given); a head needs at least one"
            )
        inner = options.heads * (channels // options.heads)
        self.linear_projection = options.linear_projection
        self.norm = nn.GroupNorm(options.groups, channels, eps=1e-6)
        self.proj_in = self._projection(channels, inner)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(inner, options) for _ in range(depth)
        )
        self.proj_out = self._projection(inner, channels)

    def _projection(self, inputs: int, outputs: int) -> nn.Module:
        if self.linear_projection:
            return nn.Linear(inputs, outputs)
        return nn.Conv2d(inputs, outputs, kernel_size=1)

    def forward(self, hidden: Tensor, cond: Conditioning) -> Tensor:
        size = hidden.shape[-2:]
        normed = self.norm(hidden)
        if self.linear_projection:
            tokens = self.proj_in(to_tokens(normed))
        else:
            tokens = to_tokens(self.proj_in(normed))
        for block in self.transformer_blocks:
            tokens = self.run(block, tokens, cond)
        if self.linear_projection:
            return hidden + to_pixels(self.proj_out(tokens), size)
        hidden = hidden + self.proj_out(to_pixels(tokens, size).contiguous())
        return hidden
