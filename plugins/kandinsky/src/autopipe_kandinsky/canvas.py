"""Converts images and masks for the decoders for inpainting.

Their networks take a mask of the part that is *kept*: 1 where the image is kept, 0 where it is
repainted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe_components.image_processor import VaeImageProcessor, mask_processor
from autopipe_components.images.fit import resize_tensor
from autopipe_components.images.kinds import ImageInput, as_list, kind_of
from autopipe_components.images.masks import check_single_channel, erode
from autopipe_components.steps.checks import check_colours

_BYTES = VaeImageProcessor(
    vae_scale_factor=1, resample="bicubic", reducing_gap=1, do_convert_rgb=True
)
_AS_IT_IS = VaeImageProcessor(do_resize=False, do_normalize=False)
_MASK = mask_processor(1)


def pixels_of(image: ImageInput, height: int, width: int) -> Tensor:
    """Return pixels (N, 3, `height`, `width`) in [-1, 1].

    Args:
        image: PIL images; arrays (H, W, 3) of 8 or 16 bits, or in [0, 1]; tensors in [-1, 1].

    Raises:
        ArgumentError: if they are anything else, or not in colour.
    """
    kind = kind_of(image)
    if kind == "pil":
        return _BYTES.preprocess(image, height, width)
    if kind == "np":
        pixels = _BYTES.preprocess([_unit(one) for one in as_list(image)], height, width)
        check_colours(pixels)
        return pixels
    pixels = _AS_IT_IS.preprocess(image).float()
    check_colours(pixels)
    _check_range("image", pixels, -1)
    return resize_tensor(pixels, height, width)


def kept_of(mask_image: ImageInput, height: int, width: int, size: tuple[int, int]) -> Tensor:
    """Return the mask of the kept part, (N, 1, h, w) at latent `size`, eroded as in training.

    Args:
        mask_image: the mask of the repainted part (values of at least 0.5): PIL images, arrays or
            tensors (H, W) in [0, 1].
        height, width: the size to which PIL images are resized first.

    Raises:
        ArgumentError: if a tensor has values outside [0, 1], or several channels.
    """
    kind = kind_of(mask_image, "mask_image")
    if kind == "pil":
        mask = _MASK.preprocess(mask_image, height, width)
    elif kind == "np":
        mask = _MASK.preprocess([np.clip(one, 0.0, 1.0) for one in as_list(mask_image)])
    else:
        for one in as_list(mask_image):
            _check_range("mask_image", one, 0)
        mask = _MASK.preprocess(mask_image)
    check_single_channel(mask)
    return erode(resize_tensor(1 - mask.float(), *size))


def _check_range(name: str, values: Tensor, low: int) -> None:
    """Raise `ArgumentError` for a tensor with NaN or values outside [`low`, 1]."""
    least, most = float(values.min()), float(values.max())
    if not (low <= least and most <= 1):
        raise ArgumentError(
            f"{name} has values from {least:.3g} to {most:.3g}; scale them to [{low}, 1]"
        )


def _unit(image: Any) -> np.ndarray:
    """Return an array of 8 or 16 bits or of floats in [0, 255] scaled to [0, 1]; others unchanged.

    Raises:
        ArgumentError: if it is an integer array with other values.
    """
    array = np.asarray(image)
    if np.issubdtype(array.dtype, np.floating):
        return array.astype(np.float32) / 255 if array.max() > 1 else array
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise ArgumentError(
            f"image is an integer array with values from {low} to {high}; give uint8, or floats in "
            f"[0, 1]"
        )
    return array.astype(np.float32) / (65535 if high > 255 else 255)
