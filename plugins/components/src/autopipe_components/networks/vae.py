"""The two halves of an autoencoder: pixels to moments, latents to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ConfigError, nearest

from .attention import SpatialAttention
from .checkpointing import Checkpointed
from .resnet import Downsample2D, ResnetBlock2D, ResnetOptions, Upsample2D, check_groups

_EPS = 1e-6


class DownEncoderBlock2D(nn.Module):
    """Residual blocks, then (but at the last level) half the resolution."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        layers: int,
        resample: bool,
        resnet: ResnetOptions,
    ) -> None:
        super().__init__()
        self.resnets = _resnets(in_channels, out_channels, layers, resnet)
        self.downsamplers = nn.ModuleList(
            [Downsample2D(out_channels, padding=0)] if resample else []
        )

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers):
            hidden = layer(hidden)
        return hidden


class UpDecoderBlock2D(nn.Module):
    """Residual blocks, then (but at the last level) twice the resolution."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        layers: int,
        resample: bool,
        resnet: ResnetOptions,
    ) -> None:
        super().__init__()
        self.resnets = _resnets(in_channels, out_channels, layers, resnet)
        self.upsamplers = nn.ModuleList([Upsample2D(out_channels)] if resample else [])

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.upsamplers):
            hidden = layer(hidden)
        return hidden


class AutoencoderMidBlock(nn.Module):
    """A residual block, attention over all pixels (optional), a residual block."""

    def __init__(self, channels: int, *, add_attention: bool, resnet: ResnetOptions) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(
            [SpatialAttention(channels, heads=1, groups=resnet.groups, eps=_EPS)]
            if add_attention
            else []
        )
        self.resnets = _resnets(channels, channels, 2, resnet)

    def forward(self, hidden: Tensor) -> Tensor:
        first, last = self.resnets
        hidden = first(hidden)
        for attention in self.attentions:
            hidden = attention(hidden)
        output: Tensor = last(hidden)
        return output


class Encoder(Checkpointed):
    """Images (B, in_channels, H, W) to (B, out_channels, h, w), each level halving the size."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        block_types: Sequence[str],
        block_out_channels: Sequence[int],
        layers_per_block: int,
        act_fn: str,
        norm_num_groups: int,
        mid_block_add_attention: bool,
    ) -> None:
        super().__init__()
        _check_types("down_block_types", block_types, "DownEncoderBlock2D", block_out_channels)
        check_groups(norm_num_groups, block_out_channels)
        resnet = ResnetOptions(time_channels=None, eps=_EPS, groups=norm_num_groups, act_fn=act_fn)
        first, last = block_out_channels[0], block_out_channels[-1]
        self.conv_in = nn.Conv2d(in_channels, first, kernel_size=3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownEncoderBlock2D(
                before,
                after,
                layers=layers_per_block,
                resample=level < len(block_out_channels) - 1,
                resnet=resnet,
            )
            for level, (before, after) in enumerate(pairwise((first, *block_out_channels)))
        )
        self.mid_block = AutoencoderMidBlock(
            last, add_attention=mid_block_add_attention, resnet=resnet
        )
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, last, eps=_EPS)
        self.conv_out = nn.Conv2d(last, out_channels, kernel_size=3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.conv_in(hidden)
        for block in (*self.down_blocks, self.mid_block):
            hidden = self.run(block, hidden)
        output: Tensor = self.conv_out(F.silu(self.conv_norm_out(hidden)))
        return output


class Decoder(Checkpointed):
    """Latents (B, in_channels, h, w) to images, each level doubling the size."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        block_types: Sequence[str],
        block_out_channels: Sequence[int],
        layers_per_block: int,
        act_fn: str,
        norm_num_groups: int,
        mid_block_add_attention: bool,
    ) -> None:
        super().__init__()
        _check_types("up_block_types", block_types, "UpDecoderBlock2D", block_out_channels)
        check_groups(norm_num_groups, block_out_channels)
        resnet = ResnetOptions(time_channels=None, eps=_EPS, groups=norm_num_groups, act_fn=act_fn)
        first, *_, last = channels = (block_out_channels[-1], *reversed(block_out_channels))
        self.conv_in = nn.Conv2d(in_channels, first, kernel_size=3, padding=1)
        self.mid_block = AutoencoderMidBlock(
            first, add_attention=mid_block_add_attention, resnet=resnet
        )
        self.up_blocks = nn.ModuleList(
            UpDecoderBlock2D(
                before,
                after,
                layers=layers_per_block + 1,
                resample=level < len(block_out_channels) - 1,
                resnet=resnet,
            )
            for level, (before, after) in enumerate(pairwise(channels))
        )
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, last, eps=_EPS)
        self.conv_out = nn.Conv2d(last, out_channels, kernel_size=3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.conv_in(hidden)
        for block in (self.mid_block, *self.up_blocks):
            hidden = self.run(block, hidden)
        output: Tensor = self.conv_out(F.silu(self.conv_norm_out(hidden)))
        return output


def _resnets(
    in_channels: int, out_channels: int, layers: int, options: ResnetOptions
) -> nn.ModuleList:
    inputs = (in_channels, *(out_channels,) * (layers - 1))
    return nn.ModuleList(ResnetBlock2D(n, out_channels, options) for n in inputs)


def _check_types(
    key: str, types: Sequence[str], supported: str, block_out_channels: Sequence[int]
) -> None:
    for name in types:
        if name != supported:
            raise ConfigError(
                f"{key} asks for {name!r}; supported is {supported}.{nearest(name, [supported])}"
            )
    if len(types) != len(block_out_channels):
        raise ConfigError(
            f"{key} has {len(types)} values, but block_out_channels names "
            f"{len(block_out_channels)} resolutions; give one for each"
        )
