"""The members of attention layers that processors read, by the names of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ArgumentTypeError
from autopipe.wording import shown

from .attention_processors import AttnProcessor2_0, accepted, is_own


class AttentionMembers(nn.Module):
    """The part of an attention layer that exists for processors.

    A processor is a setting of the layer, so of every pipeline that shares it.
    """

    heads: int
    upcast: bool
    context_dim: int | None
    to_q: nn.Linear
    to_k: Any
    to_v: Any
    default_processor: ClassVar[type[Any]] = AttnProcessor2_0
    """The class of the processor that stands for none."""
    residual_connection: bool = False
    """Whether a processor adds the input to its result."""
    rescale_output_factor: float = 1.0
    """What a processor divides its result by."""

    def __init__(self) -> None:
        super().__init__()
        self.processor: Any = self.default_processor()
        # Not of the class, which would hide modules of these names.
        self.group_norm: Any = None
        self.spatial_norm: Any = None
        self.norm_cross: Any = None
        self.norm_q: Any = None
        self.norm_k: Any = None

    @property
    def scale(self) -> float:
        """The factor of the scores: 1 / sqrt(head_dim)."""
        return float((self.to_q.out_features // self.heads) ** -0.5)

    @property
    def upcast_attention(self) -> bool:
        """Whether scores are computed in float32."""
        return self.upcast

    @property
    def upcast_softmax(self) -> bool:
        """Whether the softmax is computed in float32."""
        return self.upcast

    @property
    def is_cross_attention(self) -> bool:
        """Whether it attends to the prompt."""
        return self.context_dim is not None

    @property
    def cross_attention_dim(self) -> int:
        """The width of what it attends to."""
        return self.context_dim or self.to_q.in_features

    @property
    def runs_user_code(self) -> bool:
        """Whether a processor of the user computes it, which engines then leave to eager mode."""
        return not is_own(self.processor)

    def get_processor(self) -> Any:
        """Return the processor."""
        return self.processor

    def set_processor(self, processor: Any) -> None:
        """Let `processor` compute this layer.

        Raises:
            ArgumentTypeError: if it can't be called.
        """
        check_processor(processor)
        # A module can't be replaced by another object through assignment.
        self._modules.pop("processor", None)
        self.processor = processor

    def processed(
        self,
        hidden: Tensor,
        context: Tensor | None,
        bias: Tensor | None,
        options: Mapping[str, Any],
        **inputs: Any,
    ) -> Tensor:
        """Return what the processor computes, which gets the options that it takes."""
        processor = self.processor
        computed: Tensor = processor(
            self,
            hidden,
            encoder_hidden_states=context,
            attention_mask=bias,
            **inputs,
            **accepted(processor, options),
        )
        return computed

    def head_to_batch_dim(self, tensor: Tensor, out_dim: int = 3) -> Tensor:
        """Return (B, N, heads * d) as (B * heads, N, d), or with `out_dim` 4 as (B, heads, N, d).

        (B, M, N, heads * d) is taken as (B, M * N, heads * d).
        """
        tokens = tensor.flatten(1, -2) if tensor.ndim == 4 else tensor
        split = torch.unflatten(tokens, -1, (self.heads, -1)).transpose(1, 2)
        return split.flatten(0, 1) if out_dim == 3 else split

    def batch_to_head_dim(self, tensor: Tensor) -> Tensor:
        """Return (B * heads, N, d) as (B, N, heads * d)."""
        return torch.unflatten(tensor, 0, (-1, self.heads)).transpose(1, 2).flatten(2)

    def get_attention_scores(
        self, query: Tensor, key: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Return the softmax of the scores, (B * heads, Q, K).

        Args:
            query, key: (B * heads, Q or K, d).
            attention_mask: added to the scores, (B * heads, 1 or Q, K).
        """
        dtype = query.dtype
        if self.upcast:
            query, key = query.float(), key.float()
        scores = self.scale * query @ key.mT
        if attention_mask is not None:
            scores = scores + attention_mask
        return scores.softmax(dim=-1).to(dtype)

    def prepare_attention_mask(
        self,
        attention_mask: Tensor | None,
        target_length: int,
        batch_size: int,
        out_dim: int = 3,
    ) -> Tensor | None:
        """Return a mask (B, 1, K) for all heads: (B * heads, 1, K), or (B, heads, 1, K).

        Args:
            target_length: K; a mask of another length is followed by that many zeros.
            batch_size: B; a mask of B * heads rows is returned as it is.
            out_dim: 3 or 4.
        """
        if attention_mask is None:
            return None
        if attention_mask.shape[-1] != target_length:
            attention_mask = F.pad(attention_mask, (0, target_length))
        if out_dim == 4:
            return attention_mask[:, None].repeat_interleave(self.heads, dim=1)
        if len(attention_mask) < batch_size * self.heads:
            attention_mask = attention_mask.repeat_interleave(self.heads, dim=0)
        return attention_mask

    def norm_encoder_hidden_states(self, encoder_hidden_states: Tensor) -> Tensor:
        """Return the prompt, (B, K, context_dim), normalised by `norm_cross`."""
        normed: Tensor = self.norm_cross(encoder_hidden_states)
        return normed


def check_processor(processor: object) -> None:
    """Raise ArgumentTypeError if `processor` is not an attention processor."""
    if isinstance(processor, type) or not callable(processor):
        raise ArgumentTypeError(
            f"an attention processor is {shown(processor)}; give an object that is called as "
            f"processor(attn, hidden_states, encoder_hidden_states=None, attention_mask=None, ...)"
        )
