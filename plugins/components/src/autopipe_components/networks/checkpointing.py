"""Gradient checkpointing: less memory in training, at the cost of time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """A module whose children can be recomputed in the backward pass instead of stored.

    `gradient_checkpointing` is a setting of the model.
    """

    gradient_checkpointing: bool = False

    def run(self, child: nn.Module, *inputs: Any) -> Tensor:
        """Return `child(*inputs)`; with gradient checkpointing only the inputs are stored."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            recomputed: Tensor = checkpoint(child, *inputs, use_reentrant=False)
            return recomputed
        output: Tensor = child(*inputs)
        return output
