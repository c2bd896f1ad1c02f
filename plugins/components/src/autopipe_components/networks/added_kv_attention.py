"""Attention to the prompt and to all pixels at once, for pixel-space networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ConfigError
from autopipe.wording import shown

from .attention import MultiHeadAttention, check_bias, to_pixels, to_tokens
from .attention_processors import AttnAddedKVProcessor2_0
from .conditioning import Conditioning

# The number of groups in checkpoints that apply group normalisation to the prompt.
_PROMPT_GROUPS = 32
_EPS = 1e-5


@dataclass(frozen=True)
class AddedKVOptions:
    """The options that the attention layers of one block share.

    `only_cross_attention` leaves out attention to pixels. `prompt_norm` is None or `"group_norm"`.
    """

    head_dim: int
    context_dim: int
    groups: int
    only_cross_attention: bool = False
    prompt_norm: str | None = None


class AddedKVAttention(MultiHeadAttention):
    """Attention of the pixels of (B, channels, H, W), added to the input.

    Keys and values of the prompt and of the pixels form one sequence, under a single softmax.

    Raises:
        ConfigError: if the number of heads or groups doesn't divide the channels.
    """

    default_processor = AttnAddedKVProcessor2_0
    residual_connection = True

    def __init__(self, channels: int, options: AddedKVOptions) -> None:
        heads, rest = divmod(channels, options.head_dim)
        if rest:
            raise ConfigError(
                f"attention_head_dim is {options.head_dim}, which doesn't divide the {channels} "
                "channels of a block; in blocks of this kind it is the width of a head"
            )
        super().__init__(
            channels,
            heads=heads,
            head_dim=options.head_dim,
            context_dim=options.context_dim,
            bias=True,
        )
        self.group_norm = nn.GroupNorm(options.groups, channels, eps=_EPS)
        self.norm_cross = _prompt_norm(options)
        self.only_cross_attention = options.only_cross_attention
        pixels_too = not options.only_cross_attention
        self.to_k = nn.Linear(channels, channels) if pixels_too else None
        self.to_v = nn.Linear(channels, channels) if pixels_too else None
        self.add_k_proj = nn.Linear(options.context_dim, channels)
        self.add_v_proj = nn.Linear(options.context_dim, channels)

    def forward(self, hidden: Tensor, cond: Conditioning) -> Tensor:
        """Attend to `cond.context`, (B, K, context_dim), and to `hidden`.

        Raises:
            ArgumentError: if the context is missing, or its size or that of its mask doesn't fit.
        """
        # In these networks both masks refer to the prompt.
        bias = cond.context_bias if cond.self_bias is None else cond.self_bias
        if type(self.processor) is not AttnAddedKVProcessor2_0:
            return self.processed(hidden, cond.context, bias, cond.attention_kwargs)
        return self.compute(hidden, cond.context, bias)

    def compute(self, hidden: Tensor, context: Tensor | None, bias: Tensor | None) -> Tensor:
        """Return what `forward` returns without a processor."""
        context = self.check_context(context, hidden.shape[0])
        check_bias(bias, context.shape[1])
        if self.norm_cross is not None:
            context = self.norm_cross(context)
        pixels = to_tokens(self.group_norm(hidden))
        key, value = self.add_k_proj(context), self.add_v_proj(context)
        if self.to_k is not None and self.to_v is not None:
            key = torch.cat((key, self.to_k(pixels)), dim=1)
            value = torch.cat((value, self.to_v(pixels)), dim=1)
            bias = None if bias is None else F.pad(bias, (0, pixels.shape[1]))
        return hidden + to_pixels(self.attend(pixels, key, value, bias), hidden.shape[-2:])


class PromptGroupNorm(nn.GroupNorm):
    """Group normalisation of (B, K, C) over groups of channels and all tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.transpose(1, 2)).transpose(1, 2)


def _prompt_norm(options: AddedKVOptions) -> nn.Module | None:
    kind, width = options.prompt_norm, options.context_dim
    if kind is None:
        return None
    if kind == "group_norm":
        if width % _PROMPT_GROUPS:
            raise ConfigError(
                f"cross_attention_norm 'group_norm' has {_PROMPT_GROUPS} groups, which don't "
                f"divide the cross_attention_dim {width}"
            )
        return PromptGroupNorm(_PROMPT_GROUPS, width, eps=_EPS)
    raise ConfigError(f"cross_attention_norm is {shown(kind)}; supported are None and 'group_norm'")
