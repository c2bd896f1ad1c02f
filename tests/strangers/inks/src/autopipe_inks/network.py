"""What reads a sketch."""

from __future__ import annotations

from torch import Tensor, nn

from autopipe import ModelMixin, register_to_config


class SketchNetwork(ModelMixin):
    """From a picture to what shapes are told of it."""

    @register_to_config
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.read = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, sketch: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same shape."""
        told: Tensor = self.read(sketch)
        return told
