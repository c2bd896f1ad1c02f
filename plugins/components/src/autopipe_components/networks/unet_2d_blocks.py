"""The blocks of U-Nets that attend to no prompt, by their names in checkpoints.

Blocks with a skip path carry a small RGB picture beside the features, from level to level, and
resample both with a FIR filter: "Score-Based Generative Modeling through Stochastic Differential
Equations" (Song et al., 2021, arXiv:2011.13456).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ConfigError

from .attention import SpatialAttention
from .checkpointing import Checkpointed
from .conditioning import Conditioning
from .fir import FirResnetBlock2D, doubled, halved
from .resnet import ResnetBlock2D, ResnetOptions, conv_1x1
from .unet_blocks import BlockKind, BlockSpec, DownBlock, UpBlock, find_kind

PICTURE = 3
"""The channels of the picture that the skip path carries."""

_MOST_GROUPS = 32
_CHANNELS_PER_GROUP = 4
_SCALE = math.sqrt(2.0)
"""What blocks with a skip path divide each sum by."""


class PixelAttention(SpatialAttention):
    """Self-attention over the pixels of a block's features, in heads of the width `head_dim`."""

    def __init__(
        self,
        channels: int,
        head_dim: int | None,
        *,
        groups: int | None,
        eps: float,
        output_scale_factor: float,
    ) -> None:
        width = channels if head_dim is None else head_dim
        if width > channels:
            raise ConfigError(
                f"attention_head_dim is {width}, more than the {channels} channels of a block that "
                f"attends; give {channels} at most, or None for a single head"
            )
        super().__init__(
            channels,
            heads=channels // width,
            head_dim=width,
            groups=None if groups is None else checked_groups(groups, channels),
            eps=eps,
            output_scale_factor=output_scale_factor,
        )

    def forward(self, hidden: Tensor, cond: Conditioning | None = None) -> Tensor:  # type: ignore[override]
        return super().forward(hidden)


@dataclass(frozen=True)
class _Traits:
    """What distinguishes a kind of block.

    Attributes:
        attends: whether it has attention.
        has_skip_path: whether it carries the picture.
        resnet_sampling: whether it changes the resolution by a residual block; None if the config
            says so for all blocks of this kind.
    """

    attends: bool = False
    has_skip_path: bool = False
    resnet_sampling: bool | None = False


_DOWN = {
    "DownBlock2D": _Traits(),
    "AttnDownBlock2D": _Traits(attends=True, resnet_sampling=None),
    "ResnetDownsampleBlock2D": _Traits(resnet_sampling=True),
    "SkipDownBlock2D": _Traits(has_skip_path=True),
    "AttnSkipDownBlock2D": _Traits(attends=True, has_skip_path=True),
}
_UP = {
    "UpBlock2D": _Traits(),
    "AttnUpBlock2D": _Traits(attends=True, resnet_sampling=None),
    "ResnetUpsampleBlock2D": _Traits(resnet_sampling=True),
    "SkipUpBlock2D": _Traits(has_skip_path=True),
    "AttnSkipUpBlock2D": _Traits(attends=True, has_skip_path=True),
}

Attend = Callable[[int, int | None, float], PixelAttention]
"""`attend(channels, groups, output_scale_factor)` creates a layer of attention."""


def make_down_block(name: str, spec: BlockSpec, attend: Attend, *, resnet: bool) -> nn.Module:
    """Return the down block that is named `name` in configs.

    Args:
        resnet: whether blocks with attention are downsampled by a residual block.
    """
    traits = find_kind(_DOWN, "down_block_types", name)
    if traits.has_skip_path:
        return SkipDownBlock(spec, attend if traits.attends else None)
    return DownBlock(spec, _kind_of(traits, attend, resnet=resnet))


def make_up_block(name: str, spec: BlockSpec, attend: Attend, *, resnet: bool) -> nn.Module:
    """Return the up block that is named `name` in configs.

    Args:
        resnet: whether blocks with attention are upsampled by a residual block.
    """
    traits = find_kind(_UP, "up_block_types", name)
    if traits.has_skip_path:
        return SkipUpBlock(spec, attend if traits.attends else None)
    return UpBlock(spec, _kind_of(traits, attend, resnet=resnet))


def _kind_of(traits: _Traits, attend: Attend, *, resnet: bool) -> BlockKind:
    sampling = resnet if traits.resnet_sampling is None else traits.resnet_sampling
    if not traits.attends:
        return BlockKind(resnet_sampling=sampling)
    return BlockKind(
        attend=lambda spec, _: attend(spec.out_channels, spec.resnet.groups, 1.0),
        resnet_sampling=sampling,
    )


class SkipDownBlock(Checkpointed):
    """Residual blocks, each followed by attention if there is `attend`; then the picture joins."""

    def __init__(self, spec: BlockSpec, attend: Attend | None) -> None:
        super().__init__()
        channels = spec.out_channels
        inputs = [spec.in_channels] + [channels] * (spec.num_layers - 1)
        self.resnets = nn.ModuleList(
            ResnetBlock2D(n, channels, _grouped(spec.resnet, default_groups(n), channels))
            for n in inputs
        )
        self.attentions = nn.ModuleList(
            attend(channels, _MOST_GROUPS, _SCALE) for _ in inputs if attend is not None
        )
        self.resnet_down = self.skip_conv = None
        if spec.resample:
            options = _grouped(spec.resnet, default_groups(channels), channels)
            self.resnet_down = FirResnetBlock2D(channels, options, down=True)
            self.skip_conv = conv_1x1(PICTURE, channels)

    def forward(
        self, hidden: Tensor, cond: Conditioning, picture: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the output, the skip connections, and the picture for the next level."""
        skips = []
        for i, resnet in enumerate(self.resnets):
            hidden = self.run(resnet, hidden, cond.time)
            if self.attentions:
                hidden = self.attentions[i](hidden, cond)
            skips.append(hidden)
        if self.resnet_down is not None and self.skip_conv is not None:
            hidden = self.run(self.resnet_down, hidden, cond.time)
            picture = halved(picture)
            hidden = self.skip_conv(picture) + hidden
            skips.append(hidden)
        return hidden, skips, picture


class SkipUpBlock(Checkpointed):
    """Residual blocks that each take a skip connection, attention, and a part of the picture."""

    def __init__(self, spec: BlockSpec, attend: Attend | None) -> None:
        super().__init__()
        channels, layers = spec.out_channels, len(spec.skip_channels)
        inputs = [spec.in_channels] + [channels] * (layers - 1)
        self.resnets = nn.ModuleList()
        for before, skip in zip(inputs, spec.skip_channels):
            # Networks with attention were trained with these groups.
            quarter = before + skip // 4 if attend is not None else (before + skip) // 4
            groups = checked_groups(min(quarter, _MOST_GROUPS), before + skip)
            options = _grouped(spec.resnet, groups, channels)
            self.resnets.append(ResnetBlock2D(before + skip, channels, options))
        self.attentions = nn.ModuleList(
            [] if attend is None else [attend(channels, _MOST_GROUPS, _SCALE)]
        )
        self.resnet_up = self.skip_norm = self.skip_conv = None
        if spec.resample:
            options = _grouped(spec.resnet, default_groups(channels), channels)
            self.resnet_up = FirResnetBlock2D(channels, options, down=False)
            self.skip_norm = nn.GroupNorm(default_groups(channels), channels, eps=spec.resnet.eps)
            self.skip_conv = nn.Conv2d(channels, PICTURE, kernel_size=3, padding=1)

    def forward(
        self,
        hidden: Tensor,
        skips: Sequence[Tensor],
        cond: Conditioning,
        picture: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the output, and the picture for the next level; see `UpBlock` for `skips`."""
        for resnet, skip in zip(self.resnets, reversed(skips)):
            hidden = self.run(resnet, torch.cat((hidden, skip), dim=1), cond.time)
        for attention in self.attentions:
            hidden = attention(hidden, cond)
        picture = None if picture is None else doubled(picture)
        if self.resnet_up is not None and self.skip_norm is not None and self.skip_conv is not None:
            part = self.skip_conv(F.silu(self.skip_norm(hidden)))
            picture = part if picture is None else picture + part
            hidden = self.run(self.resnet_up, hidden, cond.time)
        return hidden, picture


class PixelMidBlock(Checkpointed):
    """Two residual blocks, with attention between them unless it is None."""

    def __init__(self, spec: BlockSpec, attention: nn.Module | None) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([] if attention is None else [attention])
        self.resnets = nn.ModuleList(
            ResnetBlock2D(spec.in_channels, spec.out_channels, spec.resnet) for _ in range(2)
        )

    def forward(self, hidden: Tensor, cond: Conditioning) -> Tensor:
        first, second = self.resnets
        hidden = self.run(first, hidden, cond.time)
        for attention in self.attentions:
            hidden = attention(hidden, cond)
        return self.run(second, hidden, cond.time)


def skip_paths(config: Mapping[str, Any]) -> tuple[list[bool], list[bool]]:
    """Return for each down and each up block that `config` names whether it carries the picture."""
    kinds = (("down_block_types", _DOWN), ("up_block_types", _UP))
    down, up = (
        [find_kind(known, entry, name).has_skip_path for name in config[entry]]
        for entry, known in kinds
    )
    return down, up


def default_groups(channels: int) -> int:
    """Return the number of groups where no config entry gives it.

    Raises:
        ConfigError: if it doesn't divide `channels`.
    """
    return checked_groups(min(channels // _CHANNELS_PER_GROUP, _MOST_GROUPS), channels)


def checked_groups(groups: int, channels: int) -> int:
    """Return `groups`; raise ConfigError unless they divide `channels`."""
    if groups < 1 or channels % groups:
        raise ConfigError(
            f"a block normalises {channels} channels in {groups} groups, which don't divide them; "
            "change block_out_channels, norm_num_groups or attn_norm_num_groups"
        )
    return groups


def _grouped(options: ResnetOptions, groups: int, channels: int) -> ResnetOptions:
    """Return `options` for a residual block of a skip path with `channels` of output."""
    return replace(
        options,
        groups=groups,
        groups_out=default_groups(channels),
        output_scale_factor=_SCALE,
    )
