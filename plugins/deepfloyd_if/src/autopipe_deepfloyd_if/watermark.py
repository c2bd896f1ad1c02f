"""The mark that DeepFloyd IF pastes into the lower right corner of its images."""

from __future__ import annotations

import torch
from PIL import Image

from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin

_REFERENCE = 1024
"""The side in pixels of a square image for which the mark has its original size."""

_MARGIN = 14
"""The distance in pixels between the mark and the edges of such an image."""

_SIDE = 62
"""The size of the mark in pixels."""


class IFWatermarker(ModelMixin):
    """The mark as an RGBA image with values from 0 to 255."""

    watermark_image: torch.Tensor

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("watermark_image", torch.zeros(_SIDE, _SIDE, 4))

    def apply_watermark(
        self, images: list[Image.Image], sample_size: int | None = None
    ) -> list[Image.Image]:
        """Paste the mark into `images` in place, and return them.

        Images that are too small for the mark are not changed.

        Args:
            images: images of equal size.
            sample_size: the output size of the network, to which the images will be enlarged and
                for which the mark is placed; by default that of the images.
        """
        width, height = images[0].size
        enlargement = min(1.0, min(height, width) / (sample_size or height))
        width, height = int(width / enlargement), int(height / enlargement)
        scale = (width * height / _REFERENCE**2) ** 0.5
        side, right, bottom = (
            int(scale * _SIDE),
            width - int(scale * _MARGIN),
            height - int(scale * _MARGIN),
        )
        if side == 0:
            return images
        values = self.watermark_image.to(torch.uint8).cpu().numpy()
        mark = Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)
        for image in images:
            image.paste(mark, (right - side, bottom - side, right, bottom), mask=mark)
        return images
