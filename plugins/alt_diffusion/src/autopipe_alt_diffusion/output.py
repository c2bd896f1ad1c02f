"""The output of the family's calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from autopipe_stable_diffusion.output import StableDiffusionPipelineOutput


@dataclass
class AltDiffusionPipelineOutput(StableDiffusionPipelineOutput):
    """The images of a call, and the flags of the safety checker, which makes flagged images black.

    Attributes:
        images: a list of PIL images, an array (B, H, W, C) or a tensor (B, C, H, W) in [0, 1],
            or latents (B, C, h, w).
        nsfw_content_detected: one flag per image; None if images were not checked.
    """


Result: TypeAlias = "AltDiffusionPipelineOutput | tuple[Any, list[bool] | None]"
"""The return type of a call: the record, or with `return_dict=False` the tuple of its values."""
