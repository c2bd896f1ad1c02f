"""The output of a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopipe.outputs import BaseOutput

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass
class KandinskyPriorPipelineOutput(BaseOutput):
    """The embeddings for a decoder.

    Attributes:
        image_embeds: (B, D), the embeddings of the images.
        negative_image_embeds: (B, D), the embeddings to avoid.
    """

    image_embeds: Tensor | np.ndarray
    negative_image_embeds: Tensor | np.ndarray
