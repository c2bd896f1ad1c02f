"""What users pass as images and masks, as the pixels that the family works on."""

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
"""Of the pixels that are denoised."""

_FILTER = "bicubic"
_MULTIPLE = 8
"""Pixels: what the longer side of a picture is rounded to."""


def make_pixels(image: ImageInput, side: int | None = None, name: str = "image") -> Tensor:
    """`image` as (N, 3, H, W), float, in [-1, 1].

    Args:
        image: PIL images; or arrays (H, W, 3) or (N, H, W, 3), or tensors (3, H, W) or
            (N, 3, H, W), which are in [-1, 1] already; or a list of one kind.
        side: what the shorter side of a PIL image is made, in proportion; None leaves it.
        name: of the argument, for messages.

    Raises:
        ArgumentError, ArgumentTypeError: it is not an image, or has no three colours.
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
                f"{name} is made of {one.dtype} and can't be in [-1, 1]; give floats in that range "
                f"(x / 127.5 - 1), or a PIL image"
            )
    pixels = (arrays.batch_arrays if kind == "np" else arrays.batch_tensors)(items)
    check_colours(pixels, name)
    return pixels


def make_mask(mask: ImageInput, height: int | None = None, width: int | None = None) -> Tensor:
    """`mask` as (M, 1, height, width), 1 where it is at least a half, else 0.

    Raises:
        ArgumentError, ArgumentTypeError: it is not an image, or has several channels.
    """
    items = [in_mode(one, "L") if isinstance(one, Image.Image) else one for one in as_list(mask)]
    # A lone tensor of three axes is a batch of masks, one in a list a mask with its channel.
    given = items if isinstance(mask, (list, tuple)) else items[0]
    made = mask_processor(1, resample=_FILTER).preprocess(given, height, width)
    check_single_channel(made)
    return made


def fitted_size(image: Image.Image, side: int) -> tuple[int, int]:
    """Height and width of `image` with a shorter side of `side`, the longer one rounded."""
    proportion = image.width / image.height
    if proportion >= 1:
        return side, round(side / _MULTIPLE * proportion) * _MULTIPLE
    return round(side / _MULTIPLE / proportion) * _MULTIPLE, side
