"""The conditions that every block of a U-Net receives in addition to its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.wording import shown

_CROSS_ATTENTION_KWARGS = frozenset({"scale"})


@dataclass(frozen=True)
class Conditioning:
    """The conditions of one call of a network.

    Attributes:
        time: the activated time embedding, (B, D).
        context: the encoded prompt, (B, K, C).
        context_bias: bias for the scores of attention to the prompt, (B, 1, K).
        self_bias: bias for the scores of attention among pixels, (B, 1, H * W).
    """

    time: Tensor
    context: Tensor | None = None
    context_bias: Tensor | None = None
    self_bias: Tensor | None = None


def mask_to_bias(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """Convert a mask (B, K), 1 for tokens to attend to, to a bias (B, 1, K) for attention."""
    return None if mask is None else ((1 - mask.to(like.dtype)) * -10000.0)[:, None]


def check_cross_attention_kwargs(given: Mapping[str, Any] | None) -> None:
    """Check that all attention options are supported.

    Raises:
        ArgumentError: if an option is not supported.
        ArgumentTypeError: if `given` is not a mapping.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentTypeError(
            f"cross_attention_kwargs is a {type(given).__name__}; give a dict, or None"
        )
    for name in given or ():
        if name not in _CROSS_ATTENTION_KWARGS:
            raise ArgumentError(
                f"cross_attention_kwargs has {shown(name)}; supported: "
                f"{', '.join(sorted(_CROSS_ATTENTION_KWARGS))}."
                f"{nearest(name, _CROSS_ATTENTION_KWARGS)}"
            )
