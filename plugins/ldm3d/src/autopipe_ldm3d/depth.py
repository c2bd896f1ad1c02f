"""The depth in the channels after the colours, and its forms."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from autopipe.errors import ArgumentError

_BYTE, _WORD = 255, 65535


def check_channels(channels: int) -> None:
    """Check that an autoencoder with `channels` output channels decodes colours and depth.

    Raises:
        ArgumentError: if it doesn't.
    """
    if channels not in (4, 6):
        raise ArgumentError(
            f"the autoencoder decodes {channels} channels, where colours and depth have 4 or 6; "
            f"load an LDM3D checkpoint"
        )


def depth_of(pixels: Tensor) -> Tensor:
    """Return the depth (B, H, W) in [0, 1] of `pixels`, in float32.

    Args:
        pixels: (B, C, H, W) in [0, 1]. With four channels, the last one is the depth. With six,
            the last two are the high and the low byte of its 16 bits, and the fourth is unused.
    """
    if pixels.shape[1] == 4:
        return pixels[:, 3].float()
    high, low = (pixels[:, 4:].float() * _BYTE).round().unbind(1)
    return (high * (_BYTE + 1) + low) / _WORD


def converted(depth: Tensor, output_type: str) -> Any:
    """Return `depth` (B, H, W) as `"pt"`, as `"np"`, or as a list of PIL images of 16 bits."""
    if output_type == "pt":
        return depth
    array: np.ndarray = depth.cpu().numpy()
    if output_type == "np":
        return array
    return [Image.fromarray(one) for one in (array * _WORD).round().astype(np.uint16)]
