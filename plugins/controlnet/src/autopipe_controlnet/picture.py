"""The embedding of the control image, and convolutions that are initialised with zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from autopipe.errors import ConfigError
from autopipe.wording import shown


class ControlNetConditioningEmbedding(nn.Module):
    """Embeds a control image (B, C, H, W) at the size of latents, (B, D, h, w).

    Each of `block_out_channels` after the first halves height and width. The last convolution is
    initialised with zeros, as are all connections from a ControlNet to a U-Net.
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
    """Raise `ConfigError` if the config entries for the control image are not supported."""
    order = config["controlnet_conditioning_channel_order"]
    if order not in ("rgb", "bgr"):
        raise ConfigError(
            f"controlnet_conditioning_channel_order is {shown(order)}; it must be 'rgb' or 'bgr'"
        )
    if not config["conditioning_embedding_out_channels"]:
        raise ConfigError("conditioning_embedding_out_channels is empty; give at least one width")


def _zero(module: nn.Conv2d) -> nn.Conv2d:
    """Set all parameters of `module` to zero, and return it."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def zero_projection(channels: int) -> nn.Conv2d:
    """Return a 1x1 convolution whose output is zero until it is trained."""
    return _zero(nn.Conv2d(channels, channels, kernel_size=1))
