"""What a call of the family returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopipe.outputs import BaseOutput

if TYPE_CHECKING:
    from autopipe.outputs import Images


@dataclass
class IFPipelineOutput(BaseOutput):
    """The images of a call, and what the safety checker found in them.

    Attributes:
        images: a list of PIL images, an array (B, H, W, C) in [0, 1], or a tensor (B, C, H, W)
            in [-1, 1], as the next stage takes it.
        nsfw_detected, watermark_detected: one flag for each image, which is black where it is
            set; None if none was checked.
    """

    images: Images
    nsfw_detected: list[bool] | None
    watermark_detected: list[bool] | None
