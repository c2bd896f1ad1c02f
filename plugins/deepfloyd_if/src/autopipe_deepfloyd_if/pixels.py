"""Converts images and masks of users to the pixels of the family."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.utils import in_mode
from autopipe_components.image_processor import mask_processor
from autopipe_components.images import arrays
from autopipe_components.images.fit import resize_pil
from autopipe_components.images.kinds import ImageInput, as_list, kind_of
from autopipe_components.images.masks import check_single_channel
from autopipe_components.steps.checks import check_colours

CHANNELS = 3
"""The channels of the denoised pixels."""

_FILTER = "bicubic"
_MULTIPLE = 8
"""The multiple, in pixels, to which the longer side of an image is rounded."""


def make_pixels(image: ImageInput, side: int | None = None, name: str = "image") -> Tensor:
    """Return `image` as (N, 3, H, W), float, in [-1, 1].

    Args:
        image: PIL images; or arrays (H, W, 3) or (N, H, W, 3), or tensors (3, H, W) or
            (N, 3, H, W), both in [-1, 1]; or a list of one of these.
        side: the length to which the shorter side of a PIL image is resized; None keeps it.
        name: the name of the argument, for messages.

    Raises:
        ArgumentError: if it doesn't have three channels, or its values are not valid.
        ArgumentTypeError: if it is not an image.
    """
    items, kind = as_list(image), kind_of(image, name)
    if kind == "pil":
        pictures = [in_mode(one, "RGB") for one in items]
        if side is not None:
            pictures = [resize_pil(p, *fitted_size(p, side), resample=_FILTER) for p in pictures]
        return arrays.normalize(arrays.numpy_to_pt(arrays.pil_to_numpy(pictures)))
    for one in items:
        floats = one.is_floating_point() if kind == "pt" else one.dtype.kind == "f"
        if not floats:
            raise ArgumentError(
                f"{name} has the dtype {one.dtype}, which can't be in [-1, 1]; give floats in that "
                f"range (x / 127.5 - 1), or a PIL image"
            )
    pixels = (arrays.batch_arrays if kind == "np" else arrays.batch_tensors)(items)
    check_colours(pixels, name)
    return pixels


def make_mask(mask: ImageInput, height: int | None = None, width: int | None = None) -> Tensor:
    """Return `mask` as (M, 1, height, width), 1 where it is at least 0.5, else 0.

    Raises:
        ArgumentError: if it has several channels.
        ArgumentTypeError: if it is not an image.
    """
    items = [in_mode(one, "L") if isinstance(one, Image.Image) else one for one in as_list(mask)]
    # A tensor with three axes is a batch of masks; in a list, it is a mask with its channel.
    given = items if isinstance(mask, (list, tuple)) else items[0]
    made = mask_processor(1, resample=_FILTER).preprocess(given, height, width)
    check_single_channel(made)
    return made


def fitted_size(image: Image.Image, side: int) -> tuple[int, int]:
    """Return height and width with the shorter side `side` and the longer one rounded."""
    proportion = image.width / image.height
    if proportion >= 1:
        return side, round(side / _MULTIPLE * proportion) * _MULTIPLE
    return round(side / _MULTIPLE / proportion) * _MULTIPLE, side
