"""The networks: what reads a text, and what sees a clip in noise."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import Qwen3Model

from autopipe import ModelMixin, register_to_config


class ClipsReader(Qwen3Model):
    """Reads letters, and gives the state after the last one, (B, D)."""

    def forward(self, input_ids: Tensor) -> Tensor:
        state: Tensor = super().forward(input_ids).last_hidden_state[:, -1]
        return state


class ClipsNetwork(ModelMixin):
    """A convolution over space and time, coloured by what it is told.

    Args:
        sample_size: height and width of a frame.
        told_size: how many numbers it is told.
    """

    @register_to_config
    def __init__(self, sample_size: int = 8, told_size: int = 8) -> None:
        super().__init__()
        self.look = nn.Conv3d(3, 3, 3, padding=1)
        self.tell = nn.Linear(told_size, 3)

    def forward(self, sample: Tensor, told: Tensor) -> Tensor:
        """The clip (B, 3, F, H, W) in [-1, 1] that is seen in `sample`; `told` is (B, D)."""
        seen: Tensor = self.look(sample) + self.tell(told)[..., None, None, None]
        return seen.tanh()
