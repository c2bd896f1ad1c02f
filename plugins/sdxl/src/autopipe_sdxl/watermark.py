"""The invisible watermark of SDXL's images, where the package for it is installed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import ArgumentError

MESSAGE = 0b101100111110110010010000011110111011000110011110
"""The 48 bits that Stability AI's own code writes, so that its detectors find them."""

SMALLEST = 256
"""Pixels: images that are narrower, or have fewer than a square of them, can't hold the bits."""


def can_watermark() -> bool:
    """Whether the package `invisible-watermark` is installed."""
    return importlib.util.find_spec("imwatermark") is not None


class StableDiffusionXLWatermarker:
    """Writes the message into images.

    Raises:
        ArgumentError: the package `invisible-watermark` is not installed.
    """

    def __init__(self) -> None:
        if not can_watermark():
            raise ArgumentError(
                "add_watermarker=True needs a package that is not installed: "
                "pip install invisible-watermark, or leave add_watermarker out"
            )
        self.encoder: Any = importlib.import_module("imwatermark").WatermarkEncoder()
        self.encoder.set_watermark("bits", [int(bit) for bit in f"{MESSAGE:b}"])

    def apply_watermark(self, images: Tensor) -> Tensor:
        """`images` (B, 3, H, W) in [-1, 1] with the message; small ones as they are."""
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
