"""A perceptron with a gated hidden layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class GatedFeedForward(nn.Module):
    """Two layers, (..., width) -> (..., width), the hidden one gated by SiLU; without biases.

    "GLU Variants Improve Transformer" (Shazeer, 2020, arXiv:2002.05202), where it is SwiGLU.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        fed: Tensor = self.w2(F.silu(self.w1(tokens)) * self.w3(tokens))
        return fed
