"""The blocks of a U-Net, by their names in checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from autopipe.errors import ConfigError, nearest
from autopipe.wording import shown

from .added_kv_attention import AddedKVAttention, AddedKVOptions
from .checkpointing import Checkpointed
from .conditioning import Conditioning
from .k_blocks import K_DOWN_BLOCKS, K_UP_BLOCKS, KDownBlock, KUpBlock
from .resnet import (
    Downsample2D,
    ResnetBlock2D,
    ResnetDownsample2D,
    ResnetOptions,
    ResnetUpsample2D,
    Upsample2D,
)
from .transformer import Transformer2DModel, TransformerOptions

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class BlockSpec:
    """The specification of a block.

    Attributes:
        in_channels: channels of the input.
        out_channels: channels of the output.
        skip_channels: channels of each skip connection that an up block takes, in the order of
            use; one for each of its residual blocks.
        num_layers: the number of residual blocks of the down block of this resolution.
        resample: whether the block ends with a change of resolution.
        is_lowest: whether the block is at the lowest resolution.
        downsample_padding: see `Downsample2D`.
        resnet: the options of residual blocks.
        transformer, added_kv: the options of the attention of kinds that have it.
    """

    in_channels: int
    out_channels: int
    resnet: ResnetOptions
    transformer: TransformerOptions | None = None
    added_kv: AddedKVOptions | None = None
    skip_channels: tuple[int, ...] = ()
    num_layers: int = 1
    resample: bool = False
    is_lowest: bool = False
    downsample_padding: int = 1


@dataclass(frozen=True)
class BlockKind:
    """The properties that distinguish kinds of blocks.

    Attributes:
        attend: creates the attention that follows the residual block with a given index, a module
            that takes features and `Conditioning`; None for blocks without attention.
        resnet_sampling: whether the resolution is changed by a further residual block, which
            takes the time embedding, instead of a convolution.
    """

    attend: Callable[[BlockSpec, int], nn.Module] | None = None
    resnet_sampling: bool = False

    def attentions(self, spec: BlockSpec, count: int) -> nn.ModuleList:
        """Return the attention layers of a block with `count` residual blocks, one for each."""
        return nn.ModuleList(self.attend(spec, i) for i in range(count) if self.attend)


def _transformer(spec: BlockSpec, index: int) -> nn.Module:
    options = spec.transformer
    assert options is not None, "the layout gives it to this kind"
    return Transformer2DModel(spec.out_channels, options.depths[index], options)


def _added_kv(spec: BlockSpec, index: int) -> nn.Module:
    assert spec.added_kv is not None, "the layout gives it to this kind"
    return AddedKVAttention(spec.out_channels, spec.added_kv)


class DownBlock(Checkpointed):
    """Residual blocks, each followed by attention if the kind has it, then downsampling."""

    def __init__(self, spec: BlockSpec, kind: BlockKind) -> None:
        super().__init__()
        channels = spec.out_channels
        inputs = [spec.in_channels] + [channels] * (spec.num_layers - 1)
        self.resnet_sampling = kind.resnet_sampling
        self.attentions = kind.attentions(spec, spec.num_layers)
        self.resnets = nn.ModuleList(ResnetBlock2D(n, channels, spec.resnet) for n in inputs)
        self.downsamplers = nn.ModuleList()
        if spec.resample:
            self.downsamplers.append(
                ResnetDownsample2D(channels, channels, spec.resnet)
                if kind.resnet_sampling
                else Downsample2D(channels, padding=spec.downsample_padding)
            )

    def forward(
        self,
        hidden: Tensor,
        cond: Conditioning,
        residual: Tensor | None = None,
        count: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the output, and the skip connections in the order of the layers.

        Args:
            residual: from an adapter. It is added before downsampling, or after it in blocks
                without attention, as adapters were trained.
            count: the number of skip connections to compute; later layers don't run. None means
                all.
        """
        skips: list[Tensor] = []
        for i, resnet in enumerate(self.resnets):
            if i == count:
                return hidden, skips
            hidden = self.run(resnet, hidden, cond.time)
            if self.attentions:
                hidden = self.attentions[i](hidden, cond)
            skips.append(hidden)
        if self.attentions and residual is not None:
            hidden = skips[-1] = hidden + residual
        if len(skips) == count:
            return hidden, skips
        for downsampler in self.downsamplers:
            hidden = (
                self.run(downsampler, hidden, cond.time)
                if self.resnet_sampling
                else downsampler(hidden)
            )
            skips.append(hidden)
        if not self.attentions and residual is not None:
            hidden = skips[-1] = hidden + residual
        return hidden, skips


class UpBlock(Checkpointed):
    """Residual blocks that each take a skip connection, with attention, then upsampling."""

    def __init__(self, spec: BlockSpec, kind: BlockKind) -> None:
        super().__init__()
        channels, layers = spec.out_channels, len(spec.skip_channels)
        inputs = [spec.in_channels] + [channels] * (layers - 1)
        self.resnet_sampling = kind.resnet_sampling
        self.attentions = kind.attentions(spec, layers)
        self.resnets = nn.ModuleList(
            ResnetBlock2D(n + skip, channels, spec.resnet)
            for n, skip in zip(inputs, spec.skip_channels)
        )
        self.upsamplers = nn.ModuleList()
        if spec.resample:
            self.upsamplers.append(
                ResnetUpsample2D(channels, channels, spec.resnet)
                if kind.resnet_sampling
                else Upsample2D(channels)
            )

    def forward(
        self,
        hidden: Tensor,
        skips: Sequence[Tensor],
        cond: Conditioning,
        size: torch.Size | None,
        first: int = 0,
    ) -> Tensor:
        """Return the output, whose height and width are `size`.

        Args:
            skips: in the order of the down blocks; they are used from the end. If there are fewer
                than layers from `first` on, the last layers and the upsampling don't run.
            first: the index of the first layer to run.
        """
        for i, skip in enumerate(reversed(skips), first):
            hidden = self.run(self.resnets[i], torch.cat((hidden, skip), dim=1), cond.time)
            if self.attentions:
                hidden = self.attentions[i](hidden, cond)
        if first + len(skips) < len(self.resnets):
            return hidden
        for upsampler in self.upsamplers:
            hidden = (
                self.run(upsampler, hidden, cond.time, size)
                if self.resnet_sampling
                else upsampler(hidden, size)
            )
        return hidden


class MidBlock(Checkpointed):
    """A residual block; then, in kinds with attention, attention and another residual block."""

    def __init__(self, spec: BlockSpec, kind: BlockKind) -> None:
        super().__init__()
        self.attentions = kind.attentions(spec, 1)
        self.resnets = nn.ModuleList(
            ResnetBlock2D(spec.in_channels, spec.out_channels, spec.resnet)
            for _ in range(1 + len(self.attentions))
        )

    def forward(self, hidden: Tensor, cond: Conditioning) -> Tensor:
        first, *others = self.resnets
        hidden = self.run(first, hidden, cond.time)
        for attention, resnet in zip(self.attentions, others):
            hidden = self.run(resnet, attention(hidden, cond), cond.time)
        return hidden


# The blocks of latent diffusion, and those of pixel-space diffusion.
_PLAIN = BlockKind()
_TRANSFORMER = BlockKind(attend=_transformer)
_RESNET = BlockKind(resnet_sampling=True)
_ADDED_KV = BlockKind(attend=_added_kv, resnet_sampling=True)

DOWN_BLOCKS = {
    "DownBlock2D": _PLAIN,
    "CrossAttnDownBlock2D": _TRANSFORMER,
    "ResnetDownsampleBlock2D": _RESNET,
    "SimpleCrossAttnDownBlock2D": _ADDED_KV,
}
MID_BLOCKS = {
    "UNetMidBlock2D": _PLAIN,
    "UNetMidBlock2DCrossAttn": _TRANSFORMER,
    "UNetMidBlock2DSimpleCrossAttn": _ADDED_KV,
}
UP_BLOCKS = {
    "UpBlock2D": _PLAIN,
    "CrossAttnUpBlock2D": _TRANSFORMER,
    "ResnetUpsampleBlock2D": _RESNET,
    "SimpleCrossAttnUpBlock2D": _ADDED_KV,
}
PIXEL_BLOCKS = frozenset(
    name
    for kinds in (DOWN_BLOCKS, MID_BLOCKS, UP_BLOCKS)
    for name, kind in kinds.items()
    if kind.resnet_sampling
)
"""The blocks of pixel-space diffusion."""


def make_down_block(name: str, spec: BlockSpec) -> DownBlock | KDownBlock:
    """Return the down block that is named `name` in configs."""
    if name in K_DOWN_BLOCKS:
        return KDownBlock(spec, attends=K_DOWN_BLOCKS[name])
    return DownBlock(spec, find_kind(DOWN_BLOCKS, "down_block_types", name))


def make_mid_block(name: str, spec: BlockSpec) -> MidBlock:
    """Return the mid block that is named `name` in configs."""
    return MidBlock(spec, find_kind(MID_BLOCKS, "mid_block_type", name))


def make_up_block(name: str, spec: BlockSpec) -> UpBlock | KUpBlock:
    """Return the up block that is named `name` in configs."""
    if name in K_UP_BLOCKS:
        return KUpBlock(spec, attends=K_UP_BLOCKS[name])
    return UpBlock(spec, find_kind(UP_BLOCKS, "up_block_types", name))


def find_kind(kinds: Mapping[str, _Kind], key: str, name: str) -> _Kind:
    """Return what `kinds` has under `name`, which the config entry `key` asks for.

    Raises:
        ConfigError: if it has nothing under that name.
    """
    try:
        # Early releases prefixed some names with `UNetRes`.
        return kinds[name.removeprefix("UNetRes")]
    except KeyError:
        raise ConfigError(
            f"{key} asks for {shown(name)}; supported are {', '.join(sorted(kinds))}."
            f"{nearest(name, kinds)}"
        ) from None
