"""The invisible watermark of SDXL's images, which needs an optional package."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import ArgumentError

MESSAGE = 0b101100111110110010010000011110111011000110011110
"""The 48 bits of Stability AI's own code, which its detectors recognise."""

SMALLEST = 256
"""The smallest width in pixels, and the side of the smallest area, for the watermark."""


def can_watermark() -> bool:
    """Whether the package `invisible-watermark` is installed."""
    return importlib.util.find_spec("imwatermark") is not None


class StableDiffusionXLWatermarker:
    """Adds the watermark to images.

    Raises:
        ArgumentError: if the package `invisible-watermark` is not installed.
    """

    def __init__(self) -> None:
        if not can_watermark():
            raise ArgumentError(
                "add_watermarker=True needs the package invisible-watermark, which is not "
                "installed. Run: pip install invisible-watermark, or leave add_watermarker out"
            )
        self.encoder: Any = importlib.import_module("imwatermark").WatermarkEncoder()
        self.encoder.set_watermark("bits", [int(bit) for bit in f"{MESSAGE:b}"])

    def apply_watermark(self, images: Tensor) -> Tensor:
        """Return `images` (B, 3, H, W) in [-1, 1] with the watermark; small ones unchanged."""
        height, width = images.shape[-2:]
        if width < SMALLEST or height * width < SMALLEST**2:
            return images
        rgb = ((images / 2 + 0.5) * 255).permute(0, 2, 3, 1).float().cpu().numpy()
        # The encoder works on BGR.
        marked = [
            self.encoder.encode(np.ascontiguousarray(one[..., ::-1]), "dwtDct") for one in rgb
        ]
        pixels = torch.from_numpy(np.stack(marked)[..., ::-1].copy()).permute(0, 3, 1, 2)
        return (2 * (pixels / 255 - 0.5)).clamp(-1, 1).to(images.device)
