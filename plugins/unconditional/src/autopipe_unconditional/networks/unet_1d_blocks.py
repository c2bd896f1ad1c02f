"""The blocks of one-dimensional U-Nets, by the names that configs give them.

There are two kinds: blocks of waveforms, of which the first takes the time as further channels of
its input, and blocks of trajectories, whose residual blocks all take the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError, nearest
from autopipe.wording import shown

from .unet_1d_layers import (
    Downsample,
    ResConvBlock,
    SequenceAttention,
    StridedConv,
    TemporalResBlock,
    TransposedConv,
    Upsample,
)


@dataclass(frozen=True)
class BlockSpec:
    """What a block is made of.

    Attributes:
        in_channels: those of the input, with a skip connection and the time.
        mid_channels: those of the residual blocks of waveforms between the first and the last.
        out_channels: those of the output.
        time_channels: the width of the embedded time.
        layers: the number of residual blocks after the first one, for trajectories.
        resample: whether a block of trajectories changes the length.
    """

    in_channels: int
    mid_channels: int
    out_channels: int
    time_channels: int
    layers: int
    resample: bool


class Block(nn.Module):
    """A block of a U-Net.

    Attributes:
        scale: the factor of the length.
        lowest: the least factor on the way.
        skips_before: whether a skip connection carries the features before that change.
    """

    scale: float = 1
    lowest: float = 1
    skips_before: bool = False

    def forward(self, hidden: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and what a skip connection carries.

        Args:
            hidden: (B, in_channels, L).
            time: (B, time_channels), or (B, time_channels, L) for blocks of waveforms.
        """
        raise NotImplementedError


class WaveBlock(Block):
    """A block of waveforms: residual blocks, possibly with attention after each.

    Args:
        down, up: whether the length is halved before them, and doubled after them.
        attends: whether attention follows each residual block.
        with_time: whether the time is appended to the channels of the input.
        is_last: whether the last residual block makes the output of the network.
        layers: the number of residual blocks.
    """

    def __init__(
        self,
        spec: BlockSpec,
        *,
        down: bool = False,
        up: bool = False,
        attends: bool = False,
        with_time: bool = False,
        is_last: bool = False,
        layers: int = 3,
    ) -> None:
        super().__init__()
        between = [spec.mid_channels] * (layers - 1)
        inputs, outputs = [spec.in_channels, *between], [*between, spec.out_channels]
        self.with_time = with_time
        self.lowest = 0.5 if down else 1
        self.scale = self.lowest * (2 if up else 1)
        self.down = Downsample() if down else None
        self.resnets = nn.ModuleList(
            ResConvBlock(before, spec.mid_channels, after, is_last=is_last and i == layers)
            for i, (before, after) in enumerate(zip(inputs, outputs), start=1)
        )
        self.attentions = nn.ModuleList(map(SequenceAttention, outputs)) if attends else None
        self.up = Upsample() if up else None

    def forward(self, hidden: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        if self.with_time:
            hidden = torch.cat([hidden, time], dim=1)
        if self.down is not None:
            hidden = self.down(hidden)
        for i, resnet in enumerate(self.resnets):
            hidden = resnet(hidden)
            if self.attentions is not None:
                hidden = self.attentions[i](hidden)
        if self.up is not None:
            hidden = self.up(hidden)
        return hidden, hidden


class TemporalBlock(Block):
    """A block of trajectories: residual blocks that take the time, then a change of length."""

    skips_before = True

    def __init__(self, spec: BlockSpec, *, up: bool = False) -> None:
        super().__init__()
        widths = [spec.in_channels, *[spec.out_channels] * spec.layers]
        self.resnets = nn.ModuleList(
            TemporalResBlock(width, spec.out_channels, spec.time_channels) for width in widths
        )
        self.scale = 1 if not spec.resample else 2 if up else 0.5
        self.lowest = min(self.scale, 1)
        self.downsample = StridedConv(spec.out_channels) if self.scale < 1 else None
        self.upsample = TransposedConv(spec.out_channels) if self.scale > 1 else None

    def forward(self, hidden: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        for resnet in self.resnets:
            hidden = resnet(hidden, time)
        resample = self.downsample or self.upsample
        return hidden if resample is None else resample(hidden), hidden


class ValueBlock(Block):
    """The middle of a value function of trajectories: a quarter of the channels and the length."""

    scale = lowest = 0.25

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        channels, time = spec.in_channels, spec.time_channels
        self.res1 = TemporalResBlock(channels, channels // 2, time)
        self.down1 = StridedConv(channels // 2)
        self.res2 = TemporalResBlock(channels // 2, channels // 4, time)
        self.down2 = StridedConv(channels // 4)

    def forward(self, hidden: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.down1(self.res1(hidden, time))
        hidden = self.down2(self.res2(hidden, time))
        return hidden, hidden


class ConvOutput(nn.Module):
    """The output of trajectories, (B, channels, L) -> (B, out_channels, L)."""

    def __init__(
        self, channels: int, out_channels: int, groups: int, act: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        if channels % groups:
            raise ConfigError(
                f"norm_num_groups is {groups}, but must divide the first of block_out_channels, "
                f"{channels}"
            )
        self.final_conv1d_1 = nn.Conv1d(channels, channels, 5, padding=2)
        self.final_conv1d_gn = nn.GroupNorm(groups, channels)
        self.final_conv1d_2 = nn.Conv1d(channels, out_channels, 1)
        self.act = act

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        normed = self.final_conv1d_gn(self.final_conv1d_1(hidden))
        output: Tensor = self.final_conv1d_2(self.act(normed))
        return output


class ValueOutput(nn.Module):
    """The value of a trajectory, (B, channels, 1) -> (B, 1)."""

    def __init__(self, channels: int, time_channels: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.final_block = nn.ModuleDict(
            {
                "0": nn.Linear(channels + time_channels, channels // 2),
                "2": nn.Linear(channels // 2, 1),
            }
        )
        self.act = act

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        if hidden.shape[2] != 1:
            raise ArgumentError(
                f"sample is too long for this value function: {hidden.shape[2]} steps are left in "
                f"its middle, where one should be; give a shorter one"
            )
        joined = torch.cat([hidden.flatten(1), time], dim=1)
        value: Tensor = self.final_block["2"](self.act(self.final_block["0"](joined)))
        return value


DOWN_BLOCKS: Mapping[str, Callable[[BlockSpec], Block]] = {
    "DownBlock1DNoSkip": partial(WaveBlock, with_time=True),
    "DownBlock1D": partial(WaveBlock, down=True),
    "AttnDownBlock1D": partial(WaveBlock, down=True, attends=True),
    "DownResnetBlock1D": TemporalBlock,
}
MID_BLOCKS: Mapping[str, Callable[[BlockSpec], Block]] = {
    "UNetMidBlock1D": partial(WaveBlock, down=True, up=True, attends=True, layers=6),
    "MidResTemporalBlock1D": TemporalBlock,
    "ValueFunctionMidBlock1D": ValueBlock,
}
UP_BLOCKS: Mapping[str, Callable[[BlockSpec], Block]] = {
    "UpBlock1DNoSkip": partial(WaveBlock, is_last=True),
    "UpBlock1D": partial(WaveBlock, up=True),
    "AttnUpBlock1D": partial(WaveBlock, up=True, attends=True),
    "UpResnetBlock1D": partial(TemporalBlock, up=True),
}
WITH_TIME, VALUE_MID, VALUE_OUT = "DownBlock1DNoSkip", "ValueFunctionMidBlock1D", "ValueFunction"
"""The block that takes the time as further channels, and those of a value function."""

OUT_BLOCKS = ("OutConv1DBlock", VALUE_OUT)

TEMPORAL = frozenset(
    {"DownResnetBlock1D", "MidResTemporalBlock1D", "UpResnetBlock1D", VALUE_MID, VALUE_OUT}
)
"""The blocks that take an embedding of the time for each sample."""


def find_block(
    kinds: Mapping[str, Callable[[BlockSpec], Block]], entry: str, name: str
) -> Callable[[BlockSpec], Block]:
    """Return what makes the block that is named `name` in the `entry` of configs.

    Raises:
        ConfigError: if there is no such block.
    """
    if name not in kinds:
        raise ConfigError(
            f"{entry} asks for {shown(name)}; supported are {', '.join(sorted(kinds))}."
            f"{nearest(name, kinds)}"
        )
    return kinds[name]
