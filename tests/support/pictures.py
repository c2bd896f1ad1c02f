"""Small pictures and masks for the inputs of calls."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


def picture(height: int = 16, width: int = 16, seed: int = 9) -> Image.Image:
    """Return a picture of blocks of 4 x 4 pixels with random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(coarse.repeat(4, axis=0).repeat(4, axis=1))


def mask(height: int = 16, width: int = 16) -> Image.Image:
    """Return a mask that is white in the middle, with one edge lighter than half, one darker."""
    values = np.zeros((height, width), np.uint8)
    values[height // 4 : -height // 4, width // 4 : -width // 4] = 255
    values[height // 4] = 140
    values[:, width // 4] = 100
    return Image.fromarray(values)


def tensor(image: Image.Image) -> torch.Tensor:
    """Return a picture as (1, C, H, W) in [0, 1]."""
    values = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)
    return values[None, None] if values.ndim == 2 else values.permute(2, 0, 1)[None]
