"""Prepares image and mask for inpainting, and puts results back into the original image."""

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
    """The image and mask at the working size, for the whole image or a region of it.

    Attributes:
        pixels: (N, 3, height, width) in [-1, 1], float32; or latents, if the image was latents.
        mask: (M, 1, height, width), 1 where the image is repainted.
        crop: the region of the original image; None for the whole image.
    """

    pixels: Tensor
    mask: Tensor
    crop: Box | None
    _processor: VaeImageProcessor
    _image: Any
    _mask_image: Any

    def paste_unmasked(self, image: Tensor) -> Tensor:
        """Return decoded pixels, `image`, with the exact pixels of the canvas outside the mask."""
        return paste_unmasked(image, self.pixels, self.mask)

    def put_back(self, images: list[Image.Image]) -> list[Image.Image]:
        """Paste each finished image into its region of the original, if there is a crop."""
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
    """Resize image and mask to `height` x `width`; call `checks.check_mask_crop` first.

    Args:
        padding_mask_crop: a margin in pixels; only the region around the mask with this margin is
            used, enlarged to the working size. None uses the whole image.

    Raises:
        ArgumentError: if there is a crop and the mask is black, or if image and mask don't match.
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
