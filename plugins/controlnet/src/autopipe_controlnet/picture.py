"""How a picture enters a ControlNet, and the convolutions that begin at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from autopipe.errors import ConfigError
from autopipe.wording import shown


class ControlNetConditioningEmbedding(nn.Module):
    """A picture (B, C, H, W) brought to the size of latents, (B, D, h, w).

    Each of `block_out_channels` after the first halves height and width. The last convolution
    begins at zero, as all that leads from a ControlNet into a U-Net does.
    """

    def __init__(
        self, conditioning_channels: int, block_out_channels: Sequence[int], out_channels: int
    ) -> None:
        super().__init__()
        first, last = block_out_channels[0], block_out_channels[-1]
        self.conv_in = nn.Conv2d(conditioning_channels, first, kernel_size=3, padding=1)
        self.blocks = nn.ModuleList()
        for wide, wider in pairwise(block_out_channels):
            self.blocks.append(nn.Conv2d(wide, wide, kernel_size=3, padding=1))
            self.blocks.append(nn.Conv2d(wide, wider, kernel_size=3, padding=1, stride=2))
        self.conv_out = _zero(nn.Conv2d(last, out_channels, kernel_size=3, padding=1))

    def forward(self, picture: Tensor) -> Tensor:
        hidden = nn.functional.silu(self.conv_in(picture))
        for block in self.blocks:
            hidden = nn.functional.silu(block(hidden))
        embedded: Tensor = self.conv_out(hidden)
        return embedded


def check_picture(config: Mapping[str, Any]) -> None:
    """Refuse what a config says of the picture, if it can't be done."""
    order = config["controlnet_conditioning_channel_order"]
    if order not in ("rgb", "bgr"):
        raise ConfigError(
            f"controlnet_conditioning_channel_order is {shown(order)}; supported are "
            "'rgb' and 'bgr'"
        )
    if not config["conditioning_embedding_out_channels"]:
        raise ConfigError("conditioning_embedding_out_channels is empty; give at least one width")


def _zero(module: nn.Conv2d) -> nn.Conv2d:
    """`module` with all its parameters at zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def zero_projection(channels: int) -> nn.Conv2d:
    """A convolution of single pixels that gives zero until it is trained."""
    return _zero(nn.Conv2d(channels, channels, kernel_size=1))
