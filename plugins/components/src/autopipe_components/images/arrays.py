"""Converts images between PIL, numpy and torch, and between the ranges [0, 1] and [-1, 1]."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.utils import eight_bits, in_mode

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


_PLAIN = ("L", "LA", "RGB", "RGBA")
"""The modes of PIL images whose bands are grey, colour or transparency."""


def pil_to_numpy(images: list[Image.Image] | Image.Image) -> np.ndarray:
    """Convert images to a float32 array (N, H, W, C), or (N, H, W) if they are grey, in [0, 1].

    Other modes, such as palettes, are converted to RGB first.

    Raises:
        ArgumentError: if the images differ in size or channels, or one can't be converted.
    """
    images = [_plain(image) for image in (images if isinstance(images, list) else [images])]
    if len({(image.size, len(image.getbands())) for image in images}) > 1:
        raise ArgumentError(
            "the images of a list differ in size or number of channels; give them the same"
        )
    return np.stack([np.asarray(image) for image in images]).astype(np.float32) / 255.0


def _plain(image: Image.Image) -> Image.Image:
    image = eight_bits(image)
    if image.mode in _PLAIN:
        return image
    return in_mode(image, "L" if image.mode == "1" else "RGB")


def numpy_to_pt(images: np.ndarray) -> Tensor:
    """Convert an array (N, H, W[, C]) to a tensor (N, C, H, W) that shares its memory."""
    if images.ndim == 3:
        images = images[..., None]
    return torch.from_numpy(images.transpose(0, 3, 1, 2))


def pt_to_numpy(images: Tensor) -> np.ndarray:
    """Convert a tensor (N, C, H, W) to a float32 array (N, H, W, C)."""
    array: np.ndarray = images.cpu().permute(0, 2, 3, 1).float().numpy()
    return array


def normalize(images: Pixels) -> Pixels:
    """Map values from [0, 1] to [-1, 1]."""
    return 2.0 * images - 1.0


def denormalize(images: Pixels) -> Pixels:
    """Map values from [-1, 1] to [0, 1]; values outside are clipped."""
    return (images * 0.5 + 0.5).clip(0, 1)


def batch_arrays(images: list[np.ndarray], *, of_masks: bool = False) -> Tensor:
    """Join arrays (H, W), (H, W, C) or (N, H, W, C) into a float tensor (N, C, H, W)."""
    joined = np.concatenate(images) if images[0].ndim == 4 else np.stack(_one_shape(images))
    # torch has no arithmetic for larger unsigned integers or other sizes of floats.
    if joined.dtype.kind in "iu":
        joined = joined.astype(np.int64)
    elif joined.dtype not in (np.bool_, np.float16, np.float32, np.float64):
        joined = joined.astype(np.float32)
    return _floats(numpy_to_pt(joined), of_masks)


def batch_tensors(images: list[Tensor], *, of_masks: bool = False) -> Tensor:
    """Join tensors (H, W), (C, H, W) or (N, C, H, W) into a float tensor (N, C, H, W)."""
    joined = torch.cat(images) if images[0].ndim == 4 else torch.stack(_one_shape(images))
    return _floats(joined.unsqueeze(1) if joined.ndim == 3 else joined, of_masks)


def as_rgb(images: Tensor) -> Tensor:
    """Convert (N, 1 to 4, H, W) to (N, 3, H, W): grey is repeated, transparency dropped."""
    channels = images.shape[1]
    if channels in (1, 2):
        return images[:, :1].expand(-1, 3, -1, -1)
    return images[:, :3] if channels == 4 else images


def as_grey(images: Tensor) -> Tensor:
    """Convert (N, 3 or 4, H, W) to luminance as in PIL, (N, 1, H, W); return others unchanged."""
    if images.shape[1] not in (3, 4):
        return images
    weights = images.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return (images[:, :3] * weights).sum(dim=1, keepdim=True)


_Sized = TypeVar("_Sized", np.ndarray, Tensor)


def _one_shape(images: list[_Sized]) -> list[_Sized]:
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        raise ArgumentError(f"the images of a list have shapes {shapes}; give them the same shape")
    return images


def _floats(images: Tensor, of_masks: bool) -> Tensor:
    """Return `images` as floats; integers must be 0 or 1, for masks also values of 8 or 16 bits."""
    if images.is_floating_point():
        return images if images.element_size() > 1 else images.float()
    images = images.to(torch.int64)
    low, high = int(images.min()), int(images.max())
    tops = (1, 255, 65535) if of_masks else (1,)
    top = next((top for top in tops if high <= top), None)
    if low < 0 or top is None:
        raise ArgumentError(
            f"an image of integers has values from {low} to {high}; give floats in [0, 1] "
            f"(divide by {255 if high < 256 else 65535}), or a PIL image"
        )
    return images.to(torch.float32) / top
