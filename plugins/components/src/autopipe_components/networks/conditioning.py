"""What every block of a U-Net is told besides its input."""

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
    """One call's conditions.

    Attributes:
        time: the activated time embedding, (B, D).
        context: the encoded prompt, (B, K, C).
        context_bias: added to the scores of attention to the prompt, (B, 1, K).
        self_bias: added to the scores of attention among pixels, (B, 1, H * W).
    """

    time: Tensor
    context: Tensor | None = None
    context_bias: Tensor | None = None
    self_bias: Tensor | None = None


def mask_to_bias(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask (B, K) that is 1 for tokens to keep, as (B, 1, K) to be added to scores."""
    return None if mask is None else ((1 - mask.to(like.dtype)) * -10000.0)[:, None]


def check_cross_attention_kwargs(given: Mapping[str, Any] | None) -> None:
    """Refuse options of attention that nothing here reads.

    Raises:
        ArgumentError: there is one; ArgumentTypeError: they are in no dict.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentTypeError(
            f"cross_attention_kwargs is a {type(given).__name__}; give a dict, or None"
        )
    for name in given or ():
        if name not in _CROSS_ATTENTION_KWARGS:
            raise ArgumentError(
                f"cross_attention_kwargs has {shown(name)}; supported is "
                f"{', '.join(sorted(_CROSS_ATTENTION_KWARGS))}."
                f"{nearest(name, _CROSS_ATTENTION_KWARGS)}"
            )
