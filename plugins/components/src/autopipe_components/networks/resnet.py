"""Convolutional layers: the residual block, downsampling and upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ConfigError
from autopipe.wording import shown

from .activations import get_activation


@dataclass(frozen=True)
class ResnetOptions:
    """The options that all residual blocks of a network share.

    `time_channels` is the width of the time embedding; None for a network without one.
    `time_scale_shift` is `"default"` (the embedding is added) or `"scale_shift"` (it scales and
    shifts). The sum of the two branches is divided by `output_scale_factor`. `groups_out` is the
    number of groups of the second norm, if it differs from that of the first.
    """

    time_channels: int | None
    eps: float
    groups: int
    act_fn: str
    dropout: float = 0.0
    time_scale_shift: str = "default"
    output_scale_factor: float = 1.0
    groups_out: int | None = None


def check_groups(norm_num_groups: int | None, block_out_channels: Sequence[int]) -> int:
    """Return `norm_num_groups`; raise ConfigError unless it divides all `block_out_channels`."""
    if norm_num_groups is None:
        raise ConfigError("norm_num_groups is None; residual blocks need a number")
    for channels in block_out_channels:
        if channels % norm_num_groups:
            raise ConfigError(
                f"norm_num_groups is {norm_num_groups}, which doesn't divide the {channels} "
                "channels that block_out_channels names"
            )
    return norm_num_groups


def conv_1x1(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a convolution that mixes the channels of each pixel."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=1)


class ResnetBlock2D(nn.Module):
    """Two convolutions and a shortcut: (B, in_channels, H, W) -> (B, out_channels, H, W).

    The time embedding, (B, time_channels), is passed in after its activation: all blocks of a
    network would apply the same one.
    """

    def __init__(self, in_channels: int, out_channels: int, options: ResnetOptions) -> None:
        super().__init__()
        if options.time_scale_shift not in ("default", "scale_shift"):
            raise ConfigError(
                f"resnet_time_scale_shift is {shown(options.time_scale_shift)}; "
                "'default' and 'scale_shift' are supported"
            )
        self.scale_shift = options.time_scale_shift == "scale_shift"
        self.output_scale_factor = options.output_scale_factor
        self.act = get_activation(options.act_fn)

        self.norm1 = nn.GroupNorm(options.groups, in_channels, eps=options.eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.time_emb_proj = (
            None
            if options.time_channels is None
            else nn.Linear(options.time_channels, out_channels * (2 if self.scale_shift else 1))
        )
        groups_out = options.groups_out or options.groups
        self.norm2 = nn.GroupNorm(groups_out, out_channels, eps=options.eps)
        self.dropout = nn.Dropout(options.dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.conv_shortcut = (
            None if in_channels == out_channels else conv_1x1(in_channels, out_channels)
        )

    def forward(self, hidden: Tensor, time: Tensor | None = None) -> Tensor:
        return self._add_branches(hidden, self.act(self.norm1(hidden)), time)

    def _add_branches(self, shortcut: Tensor, hidden: Tensor, time: Tensor | None) -> Tensor:
        """Return the output, from the input and its activated norm, both at the output's size."""
        # One variable, and the shortcut last: a large tensor is freed once the next one is there.
        hidden = self.conv1(hidden)
        hidden = self._norm_with_time(hidden, time)
        hidden = self.act(hidden)
        if self.training:
            hidden = self.dropout(hidden)
        hidden = self.conv2(hidden)
        if self.conv_shortcut is not None:
            shortcut = self.conv_shortcut(shortcut)
        hidden = shortcut + hidden
        # Nearly every block has the factor 1, and a division would be another pass over memory.
        return hidden if self.output_scale_factor == 1 else hidden / self.output_scale_factor

    def _norm_with_time(self, hidden: Tensor, time: Tensor | None) -> Tensor:
        normed: Tensor
        if self.time_emb_proj is None:
            normed = self.norm2(hidden)
            return normed
        embedded = self.time_emb_proj(time)[:, :, None, None]
        if self.scale_shift:
            scale, shift = embedded.chunk(2, dim=1)
            return torch.addcmul(shift, self.norm2(hidden), 1 + scale)
        normed = self.norm2(hidden + embedded)
        return normed


class ResnetDownsample2D(ResnetBlock2D):
    """A residual block that first halves height and width, rounding up."""

    def forward(self, hidden: Tensor, time: Tensor | None = None) -> Tensor:
        shortcut, hidden = (
            F.avg_pool2d(branch, kernel_size=2, ceil_mode=True)
            for branch in (hidden, self.act(self.norm1(hidden)))
        )
        return self._add_branches(shortcut, hidden, time)


class ResnetUpsample2D(ResnetBlock2D):
    """A residual block that first enlarges its input to `size`; see `enlarge`."""

    def forward(
        self, hidden: Tensor, time: Tensor | None = None, size: torch.Size | None = None
    ) -> Tensor:
        activated = self.act(self.norm1(hidden))
        return self._add_branches(enlarge(hidden, size), enlarge(activated, size), time)


class Downsample2D(nn.Module):
    """A convolution with stride 2, which halves height and width.

    With `padding` 0, a row of zeros is added at the bottom and a column at the right, so that even
    sizes are halved exactly.
    """

    def __init__(self, channels: int, *, padding: int) -> None:
        super().__init__()
        self.pad_after = padding == 0
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=padding)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.conv(F.pad(hidden, (0, 1, 0, 1)) if self.pad_after else hidden)
        return hidden


class Upsample2D(nn.Module):
    """Enlarges its input to `size` (see `enlarge`) and applies a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, hidden: Tensor, size: torch.Size | None = None) -> Tensor:
        hidden = self.conv(enlarge(hidden, size))
        return hidden


def enlarge(hidden: Tensor, size: torch.Size | None = None) -> Tensor:
    """Enlarge to `size` (height, width), by default twice the input's, by nearest neighbour."""
    if size is None:
        size = torch.Size(2 * side for side in hidden.shape[-2:])
    return F.interpolate(hidden, size=size, mode="nearest")
