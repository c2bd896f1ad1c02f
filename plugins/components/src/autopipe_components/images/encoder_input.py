"""Converts images to the input of an image encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.utils import in_mode

from .kinds import ImageInput, as_list, kind_of


def encoder_input(image: ImageInput, processor: Any, side: int, name: str = "image") -> Tensor:
    """Return images as the input (N, 3, `side`, `side`) of an image encoder.

    Args:
        image: PIL images, arrays (H, W, 3) or (N, H, W, 3) of bytes or floats in [0, 1]; or the
            output of `processor`, (N, 3, `side`, `side`) or one of it, which is returned as it is.
        processor: a `transformers.CLIPImageProcessor`; tensors need none.
        name: that of the argument, for messages.

    Raises:
        ArgumentTypeError: if `image` is something else.
        ArgumentError: if a shape or a value is not valid.
    """
    items = as_list(image)
    if kind_of(image, name) != "pt":
        each = [
            one for item in items for one in (item if getattr(item, "ndim", 3) == 4 else [item])
        ]
        seen: Tensor = processor(
            [as_bytes(one, name) for one in each], return_tensors="pt"
        ).pixel_values
        return seen
    tensors = [one[None] if one.ndim == 3 else one for one in items]
    if any(tuple(one.shape[1:]) != (3, side, side) for one in tensors):
        raise ArgumentError(
            f"{name} has tensors of the shapes {[tuple(one.shape) for one in items]}; give what "
            f"the image processor makes, (batch, 3, {side}, {side}), or a PIL image, which is "
            f"resized"
        )
    return torch.cat(tensors)


def as_bytes(image: Any, name: str = "image") -> Any:
    """Return a PIL image or an array (H, W, 3) in [0, 255] for CLIP's image processor.

    Raises:
        ArgumentError: if it is an array of another shape, or of integers above 255.
    """
    if not isinstance(image, np.ndarray):
        return in_mode(image, "RGB")
    if image.ndim < 3 or image.shape[-1] != 3:
        raise ArgumentError(
            f"{name} must be an array with 3 channels in its last axis, not of shape {image.shape}"
        )
    if image.dtype.kind != "f" and int(image.max()) > 255:
        raise ArgumentError(
            f"{name} is an integer array with values up to {int(image.max())}; give uint8"
        )
    return image * 255 if image.dtype.kind == "f" and image.max() <= 1 else image
