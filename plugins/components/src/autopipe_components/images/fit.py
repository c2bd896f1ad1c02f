"""Resizes images by stretching, filling or cropping."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.wording import shown

from .arrays import numpy_to_pt, pt_to_numpy

ResizeMode: TypeAlias = Literal["default", "fill", "crop"]

RESAMPLING = {
    "linear": Image.Resampling.BILINEAR,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def size_of(image: Any) -> tuple[int, int]:
    """Return height and width of a PIL image, an array (N, H, W[, C]) or a tensor (N, C, H, W).

    Raises:
        ArgumentTypeError: if `image` is not one of these.
    """
    if isinstance(image, Image.Image):
        return image.height, image.width
    if isinstance(image, torch.Tensor):
        return image.shape[2], image.shape[3]
    if isinstance(image, np.ndarray):
        return image.shape[1], image.shape[2]
    raise ArgumentTypeError(
        f"an image can't be a {type(image).__name__}; give a PIL image, an array or a tensor"
    )


def resize_pil(
    image: Image.Image,
    height: int,
    width: int,
    *,
    mode: str = "default",
    resample: str = "lanczos",
    reducing_gap: int | None = None,
) -> Image.Image:
    """Return `image` resized to `height` x `width`.

    Args:
        mode: `"default"` stretches the image. `"fill"` and `"crop"` keep its proportions: `"fill"`
            repeats the edges into the margins, and `"crop"` crops.

    Raises:
        ArgumentError: if the mode or the filter is unknown.
    """
    if resample not in RESAMPLING:
        raise ArgumentError(
            f"the filter {shown(resample)} is unknown; give one of {', '.join(RESAMPLING)}."
            + nearest(resample, RESAMPLING)
        )
    kernel = RESAMPLING[resample]
    if mode == "default":
        return image.resize((width, height), kernel, reducing_gap=reducing_gap)
    if mode not in ("fill", "crop"):
        raise ArgumentError(f"the resize mode {shown(mode)} is unknown; give default, fill or crop")
    wider = image.width / image.height > width / height
    if wider == (mode == "fill"):
        scaled = image.resize((width, max(image.height * width // image.width, 1)), kernel)
    else:
        scaled = image.resize((max(image.width * height // image.height, 1), height), kernel)
    left, top = width // 2 - scaled.width // 2, height // 2 - scaled.height // 2
    canvas = Image.new("RGB", (width, height))
    canvas.paste(scaled, (left, top))
    if mode == "fill":
        _repeat_edges(canvas, scaled, left, top)
    return canvas


def _repeat_edges(canvas: Image.Image, scaled: Image.Image, left: int, top: int) -> None:
    """Stretch the outermost pixels of `scaled` over the margins of `canvas` around it."""
    w, h = scaled.size
    if top > 0:
        margin = (canvas.width, top)
        canvas.paste(scaled.resize(margin, box=(0, 0, w, 0)), (0, 0))
        canvas.paste(scaled.resize(margin, box=(0, h, w, h)), (0, top + h))
    elif left > 0:
        margin = (left, canvas.height)
        canvas.paste(scaled.resize(margin, box=(0, 0, 0, h)), (0, 0))
        canvas.paste(scaled.resize(margin, box=(w, 0, w, h)), (left + w, 0))


def resize_tensor(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return `image` (N, C, H, W) resized to `height` x `width` by nearest neighbour."""
    return torch.nn.functional.interpolate(image, size=(height, width))


def resize_array(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return `image` (N, H, W[, C]) resized by nearest neighbour to (N, height, width, C)."""
    return pt_to_numpy(resize_tensor(numpy_to_pt(image), height, width))
