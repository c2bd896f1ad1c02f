"""Attention of the tokens of one input to each other, and its masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ArgumentError, ConfigError


def check_heads(width: int, heads: int, names: tuple[str, str]) -> None:
    """Raise `ConfigError` if `width` can't be divided among `heads`; `names` are the entries."""
    if width % heads:
        raise ConfigError(
            f"{names[0]} is {width}, which is not a multiple of {names[1]}, {heads}; correct one"
        )


def expanded_mask(mask: Tensor | None, states: Tensor, *, causal: bool) -> Tensor | None:
    """Return the mask (B, 1, N, N) of the tokens that each token attends to, True where it does.

    It is None if no padding has to be ignored. A causal mask then need not exist, either: see
    `attend`.

    Args:
        mask: (B, N), 0 for padding; or a finished mask (B, 1, N, N), boolean or added to scores.
        states: (B, N, D).
        causal: whether a token only attends to itself and the ones before.

    Raises:
        ArgumentError: if the mask has other dimensions.
    """
    if mask is None or mask.ndim == 4:
        return mask
    if mask.ndim != 2:
        raise ArgumentError(
            f"attention_mask has the shape {tuple(mask.shape)}; give one with a row for each text "
            f"and a column for each token"
        )
    is_read = mask.to(device=states.device, dtype=torch.bool)
    if not _is_recorded() and bool(is_read.all()):
        return None
    length = states.shape[1]
    attended = is_read[:, None, None, :]
    if causal:
        places = torch.arange(length, device=states.device)
        attended = attended & (places[:, None] >= places)
    return attended.expand(states.shape[0], 1, length, mask.shape[-1])


def _is_recorded() -> bool:
    """Whether the call only records a graph, which must work for other values, too."""
    tracing: bool = torch.jit.is_tracing()  # type: ignore  # torch has not typed it.
    return tracing or torch.compiler.is_compiling()


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    heads: int,
    mask: Tensor | None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return the attention (B, N, heads * width) of `query` to `key` and `value`, of that shape.

    Args:
        mask: as `expanded_mask` returns it, or values that are added to the scores.
        causal: whether a token only attends to itself and the ones before, without a mask.
    """
    shape = (*query.shape[:-1], heads, -1)
    query, key, value = (one.view(shape).transpose(1, 2) for one in (query, key, value))
    attended = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal and mask is None,
        scale=scale,
    )
    return attended.transpose(1, 2).flatten(2)
