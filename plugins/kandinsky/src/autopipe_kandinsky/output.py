"""What a prior returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopipe.outputs import BaseOutput

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass
class KandinskyPriorPipelineOutput(BaseOutput):
    """The embeddings that a decoder draws.

    Attributes:
        image_embeds: (B, D), what the images are to show.
        negative_image_embeds: (B, D), what to keep away from.
    """

    image_embeds: Tensor | np.ndarray
    negative_image_embeds: Tensor | np.ndarray
