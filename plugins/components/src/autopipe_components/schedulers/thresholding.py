"""Dynamic thresholding, which prevents saturated pixels at large guidance scales."""

from __future__ import annotations

import torch
from torch import Tensor


def threshold(sample: Tensor, ratio: float, max_value: float) -> Tensor:
    """Clamp `sample` to a quantile of its absolute values, and divide it by that.

    Saharia et al. 2022, "Imagen" (arXiv:2205.11487), section 2.3.

    Args:
        sample: (B, ...); each sample of the batch has its own quantile.
        ratio: the quantile, in (0, 1].
        max_value: upper limit of the quantile's value; its lower limit is 1.
    """
    flat = sample.flatten(1)
    if flat.dtype not in (torch.float32, torch.float64):
        flat = flat.float()  # torch.quantile supports only these dtypes
    limit = torch.quantile(flat.abs(), ratio, dim=1, keepdim=True).clamp(1, max_value)
    return (flat.clamp(-limit, limit) / limit).reshape(sample.shape).to(sample.dtype)
