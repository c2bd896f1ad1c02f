"""The conditions that every block of a U-Net receives in addition to its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """The conditions of one call of a network.

    Attributes:
        time: the activated time embedding, (B, D).
        context: the encoded prompt, (B, K, C).
        context_bias: bias for the scores of attention to the prompt, (B, 1, K).
        self_bias: bias for the scores of attention among pixels, (B, 1, H * W).
        attention_kwargs: the options for attention processors of the user; empty for none.
    """

    time: Tensor
    context: Tensor | None = None
    context_bias: Tensor | None = None
    self_bias: Tensor | None = None
    attention_kwargs: Mapping[str, Any] = field(default_factory=dict)


def mask_to_bias(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """Convert a mask (B, K), 1 for tokens to attend to, to a bias (B, 1, K) for attention."""
    return None if mask is None else ((1 - mask.to(like.dtype)) * -10000.0)[:, None]
