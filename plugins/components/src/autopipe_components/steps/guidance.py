"""Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

Halves: TypeAlias = Literal["batched", "in turn", "positive"]
"""How a step predicts under guidance: both halves in one batch; one after the other, which takes
half of the memory; or the half with the prompt alone, which takes half of the time too, and is a
step without guidance."""


@dataclass
class Contrast:
    """A further prediction in each step, from which guidance leads away.

    It is the prediction with the prompt once more, while an add-on degrades the network. To the
    guided prediction, `scale` times the difference of the usual and this prediction is added.

    Attributes:
        scale: the factor of the difference.
        rows: while the network runs, how many of its samples, at the end, it is to degrade.
    """

    scale: float = 0.0
    rows: int = 0


def double(tensor: Tensor) -> Tensor:
    """Repeat `tensor` (B, ...) for the unconditional and the conditional half, (2B, ...)."""
    return torch.cat([tensor, tensor])


def half_of(value: Any, rows: int, half: int) -> Any:
    """Return the negative half (0) or the half with the prompt (1) of a doubled batch.

    Args:
        value: a tensor (2 * `rows`, ...), or a mapping, list or tuple that may contain some. Other
            values are returned unchanged.
    """
    return parts_of(value, rows, 2, (half,))


def parts_of(value: Any, rows: int, count: int, parts: Sequence[int]) -> Any:
    """Return some parts of a batch that has `count` parts of `rows` samples, in this order.

    Args:
        value: a tensor (`count` * `rows`, ...), or a mapping, list or tuple that may contain some.
            Other values are returned unchanged.
    """
    if isinstance(value, Mapping):
        return {name: parts_of(one, rows, count, parts) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [parts_of(one, rows, count, parts) for one in value]
    if isinstance(value, Tensor) and value.ndim and len(value) == count * rows:
        found = [value[part * rows : (part + 1) * rows] for part in parts]
        return found[0] if len(found) == 1 else torch.cat(found)
    return value


def guide(
    prediction: Tensor, scale: float, *, rescale: float = 0.0, further: Tensor | None = None
) -> Tensor:
    """Return the guided prediction (B, ...) from (2B, ...), whose first half is unconditional.

    Args:
        scale: 1 gives the conditional prediction; larger values follow the prompt more closely.
        rescale: how far to restore the standard deviation of the conditional prediction, from 0
            (off) to 1.
        further: (B, ...), added to the guided prediction before it is rescaled.
    """
    unconditional, conditional = prediction.chunk(2)
    guided = unconditional + scale * (conditional - unconditional)
    guided = guided if further is None else guided + further
    return rescale_guided(guided, conditional, rescale) if rescale > 0.0 else guided


def rescale_guided(guided: Tensor, conditional: Tensor, rescale: float) -> Tensor:
    """Rescale `guided` per sample towards the standard deviation of `conditional`.

    A `rescale` of 0 changes nothing; 1 restores the deviation fully. This counters over-exposure at
    large guidance scales (Lin et al. 2023, arXiv:2305.08891, section 3.4).
    """
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return rescale * (guided * ratio) + (1 - rescale) * guided


def embed_scale(scale: float, batch_size: int, dim: int, *, dtype: torch.dtype) -> Tensor:
    """Return the sinusoidal embedding (B, `dim`) of a guidance scale, for distilled networks.

    The embedded value is `scale - 1` times 1000 (Meng et al. 2022, arXiv:2210.03142).
    """
    return embed_scales(torch.full((batch_size,), scale - 1.0), dim, dtype=dtype)


def embed_scales(above_one: Tensor, dim: int, *, dtype: torch.dtype) -> Tensor:
    """Return the embeddings (N, `dim`) of scales minus 1, (N,); see `embed_scale`."""
    half = dim // 2
    # In float32 throughout: angles reach thousands, so a more exact logarithm changes the result.
    rate = torch.tensor(10000.0).log() / (half - 1)
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * -rate)
    angles = (above_one.float() * 1000.0)[:, None] * frequencies.to(above_one.device)
    embedded = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.nn.functional.pad(embedded, (0, dim % 2)).to(dtype)
