"""Dynamic thresholding: keeps large guidance from saturating pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def threshold(sample: Tensor, ratio: float, max_value: float) -> Tensor:
    """`sample` clamped to its own quantile and scaled back into [-1, 1].

    Saharia et al. 2022, "Imagen", section 2.3.

    Args:
        sample: shape (B, ...); each of the batch has a quantile of its own.
        ratio: which quantile of the absolute values, in (0, 1].
        max_value: upper bound of the quantile; its lower bound is 1.
    """
    flat = sample.flatten(1)
    if flat.dtype not in (torch.float32, torch.float64):
        flat = flat.float()  # quantiles exist for these two alone
    limit = torch.quantile(flat.abs(), ratio, dim=1, keepdim=True).clamp(1, max_value)
    return (flat.clamp(-limit, limit) / limit).reshape(sample.shape).to(sample.dtype)
