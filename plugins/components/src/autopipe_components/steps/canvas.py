"""The picture to inpaint: pixels and mask at working size, and the way back into the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..image_processor import VaeImageProcessor
from ..images.kinds import ImageInput
from ..images.masks import Box, at_size_of
from .inpaint import paste_unmasked


@dataclass(frozen=True)
class Canvas:
    """What is painted on.

    Attributes:
        pixels: (N, 3, height, width) in [-1, 1], float32; or latents, if the image was.
        mask: (M, 1, height, width), 1 where the image is repainted.
        crop: the region of the original that the canvas shows; None for all of it.
    """

    pixels: Tensor
    mask: Tensor
    crop: Box | None
    _processor: VaeImageProcessor
    _image: Any
    _mask_image: Any

    def paste_unmasked(self, image: Tensor) -> Tensor:
        """`inpaint.paste_unmasked` of the canvas onto `image`, decoded pixels."""
        return paste_unmasked(image, self.pixels, self.mask)

    def put_back(self, images: list[Image.Image]) -> list[Image.Image]:
        """Lay each finished picture into the original, if the canvas shows a region of it."""
        if self.crop is None:
            return images
        return [
            self._processor.apply_overlay(self._mask_image, self._image, one, self.crop)
            for one in images
        ]


def prepare_canvas(
    image: ImageInput,
    mask_image: ImageInput,
    *,
    height: int,
    width: int,
    image_processor: VaeImageProcessor,
    mask_processor: VaeImageProcessor,
    padding_mask_crop: int | None = None,
) -> Canvas:
    """Bring image and mask to `height` x `width`; `checks.check_mask_crop` comes first.

    Args:
        padding_mask_crop: paint only the region around the mask, and so many pixels of margin,
            enlarged to the working size. None paints on the whole image.

    Raises:
        ArgumentError: there is nothing to repaint in a mask to crop to, or the inputs don't fit.
    """
    how: dict[str, Any] = {}
    crop = None
    if padding_mask_crop is not None:
        assert isinstance(mask_image, Image.Image), "check_mask_crop comes first"
        assert isinstance(image, Image.Image), "check_mask_crop comes first"
        mask_image = at_size_of(image, mask_image)
        crop = mask_processor.get_crop_region(mask_image, width, height, pad=padding_mask_crop)
        how = {"resize_mode": "fill", "crops_coords": crop}
    return Canvas(
        pixels=image_processor.preprocess(image, height, width, **how).to(torch.float32),
        mask=mask_processor.preprocess(mask_image, height, width, **how),
        crop=crop,
        _processor=image_processor,
        _image=image,
        _mask_image=mask_image,
    )
