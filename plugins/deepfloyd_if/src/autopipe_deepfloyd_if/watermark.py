"""The mark that DeepFloyd IF puts into the lower right corner of its pictures."""

from __future__ import annotations

import torch
from PIL import Image

from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin

_REFERENCE = 1024
"""Pixels: a square picture of this side gets the mark at its own size."""

_MARGIN = 14
"""Pixels between the mark and the edges, of such a picture."""

_SIDE = 62
"""Pixels of the mark."""


class IFWatermarker(ModelMixin):
    """Holds the mark as a picture with transparency, values from 0 to 255."""

    watermark_image: torch.Tensor

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("watermark_image", torch.zeros(_SIDE, _SIDE, 4))

    def apply_watermark(
        self, images: list[Image.Image], sample_size: int | None = None
    ) -> list[Image.Image]:
        """Paste the mark into `images`, which are changed, and return them.

        Pictures that are so small that nothing of the mark would be left stay as they are.

        Args:
            images: of one size.
            sample_size: the side that the network makes; the mark is placed for a picture
                enlarged to it. That of the pictures if absent.
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
