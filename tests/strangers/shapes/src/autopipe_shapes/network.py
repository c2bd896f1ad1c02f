"""The network: it sees shapes in noise."""

from __future__ import annotations

from torch import Tensor, nn

from autopipe import ModelMixin, register_to_config


class ShapesNetwork(ModelMixin):
    """A convolution, moved by what it is told.

    Args:
        sample_size: height and width of a picture, where none is given.
    """

    @register_to_config
    def __init__(self, sample_size: int = 8) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, sample: Tensor, told: Tensor) -> Tensor:
        """The pictures in [-1, 1] that are seen in `sample`, (B, 3, H, W); `told` goes with it."""
        seen: Tensor = self.look(sample) + told
        return seen.tanh()
