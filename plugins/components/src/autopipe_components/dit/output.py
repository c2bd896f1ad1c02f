"""What transformers that denoise return."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autopipe.outputs import BaseOutput


@dataclass
class Transformer2DModelOutput(BaseOutput):
    """A prediction.

    Attributes:
        sample: of the shape of the sample.
    """

    sample: Tensor
