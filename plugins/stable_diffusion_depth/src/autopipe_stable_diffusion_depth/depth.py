"""Depth maps: from the estimator or the caller, at the size of the latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.utils import in_mode
from autopipe_components.images.kinds import as_list
from autopipe_components.steps.codec import check_spread
from autopipe_components.steps.values import check_tensor


def check_depth_map(depth_map: Tensor | None, batch_size: int) -> None:
    """Check depth maps that the caller gives.

    Raises:
        ArgumentTypeError: if `depth_map` is not a tensor of floats.
        ArgumentError: if its shape isn't (N, H, W), its values aren't finite, or N doesn't divide
            `batch_size`.
    """
    if depth_map is None:
        return
    check_tensor("depth_map", depth_map)
    if not depth_map.is_floating_point():
        raise ArgumentTypeError(
            f"depth_map has the dtype {depth_map.dtype}; give floats: depth_map.float()"
        )
    if depth_map.ndim != 3 or not depth_map.numel():
        raise ArgumentError(
            f"depth_map has the shape {tuple(depth_map.shape)}; give (batch, height, width), none "
            f"of length 0"
        )
    if not bool(depth_map.isfinite().all()):
        raise ArgumentError("depth_map holds values that are not finite; give numbers")
    check_spread(depth_map, batch_size, "depth maps")


def estimate_depth(estimator: Any, processor: Any, images: Any, device: torch.device) -> Tensor:
    """Return the depth (N, H, W) of PIL images in float32; larger values are nearer.

    Args:
        estimator: a `transformers.DPTForDepthEstimation`.
        processor: its image processor, which determines H and W.
    """
    pictures = [in_mode(one, "RGB") for one in as_list(images)]
    seen = processor(images=pictures, return_tensors="pt").pixel_values
    dtype = getattr(estimator, "dtype", torch.float32)
    depth: Tensor = estimator(seen.to(device=device, dtype=dtype)).predicted_depth
    return depth.float()


def fit_depth(depth_map: Tensor, size: tuple[int, int]) -> Tensor:
    """Return depth maps (N, H, W) as (N, 1, *size), each scaled to [-1, 1].

    A map in which all is equally far becomes -1 everywhere.
    """
    resized = interpolate(depth_map[:, None], size=size, mode="bicubic", align_corners=False)
    low, high = resized.amin((1, 2, 3), keepdim=True), resized.amax((1, 2, 3), keepdim=True)
    span = torch.where(high > low, high - low, torch.ones_like(high))
    return 2 * (resized - low) / span - 1
