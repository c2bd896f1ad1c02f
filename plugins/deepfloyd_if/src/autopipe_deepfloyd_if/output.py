"""The output of the family's calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopipe.outputs import BaseOutput

if TYPE_CHECKING:
    from autopipe.outputs import Images


@dataclass
class IFPipelineOutput(BaseOutput):
    """The images of a call, and the flags of the safety checker.

    Attributes:
        images: a list of PIL images, an array (B, H, W, C) in [0, 1], or a tensor (B, C, H, W)
            in [-1, 1], as the next stage takes it.
        nsfw_detected, watermark_detected: one flag per image; flagged images are black. None if
            images were not checked.
    """

    images: Images
    nsfw_detected: list[bool] | None
    watermark_detected: list[bool] | None
