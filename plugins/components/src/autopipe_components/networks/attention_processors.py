"""Attention processors: objects that compute an attention layer from its members.

A processor of one's own is called as `processor(attn, hidden_states, encoder_hidden_states=None,
attention_mask=None, temb=None, **cross_attention_kwargs)`. The classes here exist for programs that
name them. They give the numbers that layers compute without a processor.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AttentionProcessor: TypeAlias = Callable[..., Tensor]
"""The type of an attention processor."""

_OF_ALL = frozenset(
    {
        *("attn", "hidden_states", "encoder_hidden_states", "attention_mask", "temb"),
        *("image_rotary_emb", "scale"),
    }
)
"""Arguments that are not options. `scale` belongs to adapters, whose layers read it."""


class AttnProcessor2_0:
    """Computes attention as layers do without a processor: torch's fused kernel."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **cross_attention_kwargs: Any,
    ) -> Tensor:
        inputs = {} if temb is None else {"temb": temb}
        attended: Tensor = attn.compute(
            hidden_states, encoder_hidden_states, attention_mask, **inputs
        )
        return attended


class AttnAddedKVProcessor2_0(AttnProcessor2_0):
    """The same for layers that attend to the prompt and to pixels at once."""


class JointAttnProcessor2_0:
    """The same for layers that attend over two streams of tokens, and return both."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        **joint_attention_kwargs: Any,
    ) -> Any:
        inputs = {} if image_rotary_emb is None else {"rotary": image_rotary_emb}
        return attn.compute(hidden_states, encoder_hidden_states, attention_mask, **inputs)


class AttnAddedKVProcessor(AttnAddedKVProcessor2_0):
    """The same."""


class XFormersAttnProcessor(AttnProcessor2_0):
    """The same: torch's kernel saves the memory that xFormers saves.

    Args:
        attention_op: ignored.
    """

    def __init__(self, attention_op: object = None) -> None:
        self.attention_op = attention_op


class LoRAAttnProcessor(AttnProcessor2_0):
    """The same: a LoRA is attached to the layers inside, not to their processor."""


class LoRAAttnProcessor2_0(LoRAAttnProcessor):
    """The same."""


class LoRAXFormersAttnProcessor(LoRAAttnProcessor):
    """The same."""


class LoRAAttnAddedKVProcessor(LoRAAttnProcessor):
    """The same."""


class AttnProcessor:
    """Computes attention from explicit scores, (B * heads, Q, K), without a fused kernel."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **cross_attention_kwargs: Any,
    ) -> Tensor:
        residual, size = hidden_states, hidden_states.shape[2:]
        if attn.spatial_norm is not None:
            hidden_states = attn.spatial_norm(hidden_states, temb)
        is_pixels = hidden_states.ndim == 4
        if is_pixels:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        attended = self.attend(attn, hidden_states, encoder_hidden_states, attention_mask)
        attended = attn.to_out[1](attn.to_out[0](attended))
        if is_pixels:
            attended = attended.transpose(1, 2).unflatten(2, size)
        if attn.residual_connection:
            attended = attended + residual
        result: Tensor = attended / attn.rescale_output_factor
        return result

    def attend(
        self, attn: Any, hidden: Tensor, context: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """Return the attention of tokens, (B, Q, heads * d), before the output projection."""
        context = attn.read(context, hidden)
        query, key, value = attn.to_q(hidden), attn.to_k(context), attn.to_v(context)
        bias = attn.prepare_attention_mask(bias, key.shape[1], key.shape[0])
        query, key, value = map(attn.head_to_batch_dim, (query, key, value))
        attended: Tensor = attn.get_attention_scores(query, key, bias) @ value
        joined: Tensor = attn.batch_to_head_dim(attended)
        return joined


class FusedAttnProcessor2_0(AttnProcessor):
    """Computes the projections to queries, keys and values by one product; see `fuse`."""

    def attend(
        self, attn: Any, hidden: Tensor, context: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        if not _is_fused(attn):
            seen = attn.read(context, hidden)
            query, key, value = attn.to_q(hidden), attn.to_k(seen), attn.to_v(seen)
        elif attn.is_cross_attention:
            query, seen = attn.to_q(hidden), attn.read(context, hidden)
            key, value = F.linear(seen, attn.fused_weight, attn.fused_bias).chunk(2, -1)
        else:
            query, key, value = F.linear(hidden, attn.fused_weight, attn.fused_bias).chunk(3, -1)
        attended: Tensor = attn.attended(query, key, value, bias)
        return attended


def fuse(attn: Any) -> None:
    """Let a layer compute its projections by one product, from a copy of its weights.

    Layers that attend to a prompt join keys and values, others queries too. The copy follows casts
    and moves, and is not saved. While an add-on changes a projection, or after another one takes
    its place, they are computed one by one.
    """
    layers = [attn.to_k, attn.to_v]
    if not attn.is_cross_attention:
        layers.insert(0, attn.to_q)
    biases = [one.bias.detach() for one in layers if one.bias is not None]
    weight = torch.cat([one.weight.detach() for one in layers])
    attn.register_buffer("fused_weight", weight, persistent=False)
    attn.register_buffer("fused_bias", torch.cat(biases) if biases else None, persistent=False)
    attn.fused_from = tuple(layer.weight for layer in _projections(attn))
    attn.set_processor(FusedAttnProcessor2_0())


def _projections(attn: Any) -> tuple[Any, ...]:
    return attn.to_q, attn.to_k, attn.to_v


def _is_fused(attn: Any) -> bool:
    """Whether the projections are those that `fuse` copied, and nothing changes them."""
    pairs = zip(_projections(attn), attn.fused_from)
    return all(type(layer) is nn.Linear and layer.weight is weight for layer, weight in pairs)


def unfuse(attn: Any) -> None:
    """Undo `fuse`."""
    if isinstance(attn.processor, FusedAttnProcessor2_0):
        attn.set_processor(attn.default_processor())
        del attn.fused_weight, attn.fused_bias, attn.fused_from


def is_own(processor: object) -> bool:
    """Whether `processor` is of a class of this module, not of a subclass elsewhere."""
    return type(processor).__module__ == __name__


def accepted(processor: object, given: Mapping[str, Any], *, named: bool = False) -> dict[str, Any]:
    """Return the options among `given` that a processor takes besides those of all processors.

    Args:
        named: whether to leave out those that it takes only because it takes any name.
    """
    if not given or is_own(processor):
        return {}
    is_function = isinstance(processor, types.FunctionType)
    names, takes_any = _options(processor if is_function else type(processor).__call__)
    any_name = takes_any and not named
    return {n: one for n, one in given.items() if n not in _OF_ALL and (any_name or n in names)}


@functools.lru_cache(maxsize=256)
def _options(call: Any) -> tuple[frozenset[str], bool]:
    """Return the names of parameters, and whether any other name is accepted too."""
    parameters = inspect.signature(call).parameters.values()
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    names = (one.name for one in parameters if one.kind is not one.VAR_KEYWORD)
    return frozenset(names), takes_any
