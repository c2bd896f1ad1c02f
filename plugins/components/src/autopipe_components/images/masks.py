"""Binarises masks, finds the region around a mask, and pastes a repainted region back."""

from __future__ import annotations

import torch
from PIL import Image, ImageOps

from autopipe.errors import ArgumentError
from autopipe.utils import eight_bits, in_mode

from .arrays import Pixels

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""


def binarize(image: Pixels) -> Pixels:
    """Return 1 where `image` is at least 0.5, else 0, in the dtype of `image`."""
    if isinstance(image, torch.Tensor):
        return (image >= 0.5).to(image.dtype)
    return (image >= 0.5).astype(image.dtype)


def check_single_channel(mask: torch.Tensor) -> None:
    """Check that a mask (M, C, H, W) has a single channel.

    Raises:
        ArgumentError: if C is not 1.
    """
    if mask.shape[1] != 1:
        raise ArgumentError(
            f"mask_image has {mask.shape[1]} channels and shape {tuple(mask.shape)}; give a mask "
            f"with a single channel, (batch, 1, height, width)"
        )


def erode(mask: torch.Tensor) -> torch.Tensor:
    """Return `mask` (..., H, W), of 0 and 1, with each 0 extended by one cell.

    It is extended horizontally, vertically and along one diagonal, as in the training of the
    Kandinsky inpainting networks.
    """
    height, width = mask.shape[-2:]
    padded = torch.nn.functional.pad(mask, (1, 1, 1, 1), value=1.0)
    reach = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (2, 2))
    moved = [padded[..., y : y + height, x : x + width] for y, x in reach]
    return torch.stack(moved).amin(dim=0)


def crop_region(mask: Image.Image, width: int, height: int, pad: int = 0) -> Box:
    """Return the region around the marked pixels, in the proportions of `width` x `height`.

    Args:
        mask: the mask, in which every pixel that is not black is marked.
        width, height: the working size of the region.
        pad: the number of pixels to add on each side first.

    Raises:
        ArgumentError: if the mask is black everywhere.
    """
    box = in_mode(mask, "L").getbbox()
    if box is None:
        raise ArgumentError("the mask is black everywhere; paint white what is to be repainted")
    left, right = max(box[0] - pad, 0), min(box[2] + pad, mask.width)
    top, bottom = max(box[1] - pad, 0), min(box[3] + pad, mask.height)
    wanted = width / height
    if (right - left) / (bottom - top) > wanted:
        top, bottom = _widen(top, bottom, (right - left) / wanted, mask.height)
    else:
        left, right = _widen(left, right, (bottom - top) * wanted, mask.width)
    return left, top, right, bottom


def at_size_of(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Return `mask` resized to the size of `image`."""
    return mask if mask.size == image.size else in_mode(mask, "L").resize(image.size)


def _widen(low: int, high: int, length: float, limit: int) -> tuple[int, int]:
    """Grow [low, high) around its middle to `length`; shift, then cut it, to stay in [0, limit)."""
    missing = int(length - (high - low))
    low, high = low - missing // 2, high + missing - missing // 2
    too_far = max(high - limit, 0)
    low, high = low - too_far, high - too_far
    too_far = max(-low, 0)
    return low + too_far, min(high + too_far, limit)


def overlay(mask: Image.Image, original: Image.Image, image: Image.Image) -> Image.Image:
    """Return `image` where `mask` is white, `original` where it is black, a blend where it is grey.

    PIL premultiplies alpha and rounds, so pixels under black and white are copied exactly.
    """
    kept = Image.new("RGBa", original.size)
    kept.paste(
        eight_bits(original).convert("RGBA").convert("RGBa"),
        mask=ImageOps.invert(in_mode(mask, "L")),
    )
    result = image.convert("RGBA")
    result.alpha_composite(kept.convert("RGBA"))
    return result.convert("RGB")
