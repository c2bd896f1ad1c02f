"""The output of the family's calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from autopipe.outputs import BaseOutput

if TYPE_CHECKING:
    from autopipe.outputs import Images


@dataclass
class ZImagePipelineOutput(BaseOutput):
    """The images of a call.

    Attributes:
        images: a list of PIL images, an array (B, H, W, C) or a tensor (B, C, H, W) in [0, 1],
            or latents (B, C, h, w).
    """

    images: Images


Result: TypeAlias = "ZImagePipelineOutput | tuple[Any]"
"""The return type of a call: the record, or with `return_dict=False` the tuple of its values."""
