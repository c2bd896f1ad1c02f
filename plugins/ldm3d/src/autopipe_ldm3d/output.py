"""The output of the family's calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from autopipe.outputs import BaseOutput

if TYPE_CHECKING:
    from autopipe.outputs import Images


@dataclass
class LDM3DPipelineOutput(BaseOutput):
    """The pictures of a call, their depths, and the flags of the safety checker.

    Attributes:
        rgb: a list of PIL images, an array (B, H, W, 3) or a tensor (B, 3, H, W) in [0, 1]; or
            latents (B, C, h, w), of colours and depth together.
        depth: a list of PIL images with 16 bits, or an array or a tensor (B, H, W) in [0, 1]; None
            with latents.
        nsfw_content_detected: one flag per picture, and flagged ones are black; None if pictures
            were not checked.
    """

    rgb: Images
    depth: Any
    nsfw_content_detected: list[bool] | None

    @property
    def images(self) -> Images:
        """The same as `rgb`, under the name that tools read."""
        return self.rgb


Result: TypeAlias = "LDM3DPipelineOutput | tuple[tuple[Any, Any], list[bool] | None]"
"""The return type of a call: the record; with `return_dict=False` `((rgb, depth), flags)`."""
