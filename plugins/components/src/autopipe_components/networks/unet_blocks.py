"""The blocks of a U-Net, by the names that checkpoints give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from autopipe.errors import ConfigError, nearest

from .checkpointing import Checkpointed
from .conditioning import Conditioning
from .resnet import Downsample2D, ResnetBlock2D, ResnetOptions, Upsample2D
from .transformer import Transformer2DModel, TransformerOptions

_Block = TypeVar("_Block", bound=Checkpointed)


@dataclass(frozen=True)
class BlockSpec:
    """How one block is built.

    Attributes:
        in_channels: channels of the input.
        out_channels: channels of the output.
        skip_channels: channels of each skip connection that an up block takes, in the order it
            takes them; their number is the number of its residual blocks.
        num_layers: residual blocks of a down block.
        resample: whether the block changes the resolution at its end.
        downsample_padding: see `Downsample2D`.
        resnet, transformer: options of the parts.
    """

    in_channels: int
    out_channels: int
    resnet: ResnetOptions
    transformer: TransformerOptions
    skip_channels: tuple[int, ...] = ()
    num_layers: int = 1
    resample: bool = False
    downsample_padding: int = 1


class DownBlock(Checkpointed):
    """The contract of down blocks: (x, conditioning) -> (output, skip connections).

    `residual` comes from an adapter and joins the features of the block.
    """

    def forward(
        self, hidden: Tensor, cond: Conditioning, residual: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        raise NotImplementedError


class UpBlock(Checkpointed):
    """The contract of up blocks: (x, skip connections, conditioning, output size) -> output.

    `skips` come in the order the down blocks made them and are used from the end.
    """

    resnets: nn.ModuleList

    def forward(
        self, hidden: Tensor, skips: Sequence[Tensor], cond: Conditioning, size: torch.Size | None
    ) -> Tensor:
        raise NotImplementedError


class DownBlock2D(DownBlock):
    """Residual blocks, then a downsampling convolution."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.resnets = _down_resnets(spec)
        self.downsamplers = _downsamplers(spec)

    def forward(
        self, hidden: Tensor, cond: Conditioning, residual: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for resnet in self.resnets:
            hidden = self.run(resnet, hidden, cond.time)
            skips.append(hidden)
        for downsampler in self.downsamplers:
            hidden = downsampler(hidden)
            skips.append(hidden)
        if residual is not None:
            hidden = skips[-1] = hidden + residual
        return hidden, skips


class CrossAttnDownBlock2D(DownBlock):
    """Residual blocks, each followed by a transformer, then a downsampling convolution."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.attentions = _transformers(spec)
        self.resnets = _down_resnets(spec)
        self.downsamplers = _downsamplers(spec)

    def forward(
        self, hidden: Tensor, cond: Conditioning, residual: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for resnet, attention in zip(self.resnets, self.attentions):
            hidden = attention(self.run(resnet, hidden, cond.time), cond)
            skips.append(hidden)
        if residual is not None:
            hidden = skips[-1] = hidden + residual
        for downsampler in self.downsamplers:
            hidden = downsampler(hidden)
            skips.append(hidden)
        return hidden, skips


class UpBlock2D(UpBlock):
    """Residual blocks that each take a skip connection, then an upsampling convolution."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.resnets = _up_resnets(spec)
        self.upsamplers = _upsamplers(spec)

    def forward(
        self, hidden: Tensor, skips: Sequence[Tensor], cond: Conditioning, size: torch.Size | None
    ) -> Tensor:
        for resnet, skip in zip(self.resnets, reversed(skips)):
            hidden = self.run(resnet, torch.cat((hidden, skip), dim=1), cond.time)
        for upsampler in self.upsamplers:
            hidden = upsampler(hidden, size)
        return hidden


class CrossAttnUpBlock2D(UpBlock):
    """As `UpBlock2D`, each residual block followed by a transformer."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.attentions = _transformers(spec)
        self.resnets = _up_resnets(spec)
        self.upsamplers = _upsamplers(spec)

    def forward(
        self, hidden: Tensor, skips: Sequence[Tensor], cond: Conditioning, size: torch.Size | None
    ) -> Tensor:
        for resnet, attention, skip in zip(self.resnets, self.attentions, reversed(skips)):
            hidden = self.run(resnet, torch.cat((hidden, skip), dim=1), cond.time)
            hidden = attention(hidden, cond)
        for upsampler in self.upsamplers:
            hidden = upsampler(hidden, size)
        return hidden


class UNetMidBlock2DCrossAttn(Checkpointed):
    """A residual block, a transformer, a residual block."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.attentions = _transformers(spec)
        self.resnets = nn.ModuleList(
            ResnetBlock2D(spec.in_channels, spec.out_channels, spec.resnet) for _ in range(2)
        )

    def forward(self, hidden: Tensor, cond: Conditioning) -> Tensor:
        first, last = self.resnets
        hidden = self.run(first, hidden, cond.time)
        return self.run(last, self.attentions[0](hidden, cond), cond.time)


class UNetMidBlock2D(Checkpointed):
    """A single residual block."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            [ResnetBlock2D(spec.in_channels, spec.out_channels, spec.resnet)]
        )

    def forward(self, hidden: Tensor, cond: Conditioning) -> Tensor:
        return self.run(self.resnets[0], hidden, cond.time)


DOWN_BLOCKS: dict[str, type[DownBlock]] = {
    "DownBlock2D": DownBlock2D,
    "CrossAttnDownBlock2D": CrossAttnDownBlock2D,
}
MID_BLOCKS: dict[str, type[Checkpointed]] = {
    "UNetMidBlock2D": UNetMidBlock2D,
    "UNetMidBlock2DCrossAttn": UNetMidBlock2DCrossAttn,
}
UP_BLOCKS: dict[str, type[UpBlock]] = {
    "UpBlock2D": UpBlock2D,
    "CrossAttnUpBlock2D": CrossAttnUpBlock2D,
}


def make_down_block(name: str, spec: BlockSpec) -> DownBlock:
    """The down block that a config calls `name`."""
    return _find(DOWN_BLOCKS, "down_block_types", name)(spec)


def make_mid_block(name: str, spec: BlockSpec) -> Checkpointed:
    """The mid block that a config calls `name`."""
    return _find(MID_BLOCKS, "mid_block_type", name)(spec)


def make_up_block(name: str, spec: BlockSpec) -> UpBlock:
    """The up block that a config calls `name`."""
    return _find(UP_BLOCKS, "up_block_types", name)(spec)


def _find(
    blocks: Mapping[str, Callable[[BlockSpec], _Block]], key: str, name: str
) -> Callable[[BlockSpec], _Block]:
    try:
        # The first releases put `UNetRes` before some names.
        return blocks[name.removeprefix("UNetRes")]
    except KeyError:
        raise ConfigError(
            f"{key} asks for {name!r}; supported are {', '.join(sorted(blocks))}."
            f"{nearest(name, blocks)}"
        ) from None


def _down_resnets(spec: BlockSpec) -> nn.ModuleList:
    inputs = [spec.in_channels] + [spec.out_channels] * (spec.num_layers - 1)
    return nn.ModuleList(ResnetBlock2D(n, spec.out_channels, spec.resnet) for n in inputs)


def _up_resnets(spec: BlockSpec) -> nn.ModuleList:
    layers = len(spec.skip_channels)
    inputs = [spec.in_channels] + [spec.out_channels] * (layers - 1)
    return nn.ModuleList(
        ResnetBlock2D(n + skip, spec.out_channels, spec.resnet)
        for n, skip in zip(inputs, spec.skip_channels)
    )


def _transformers(spec: BlockSpec) -> nn.ModuleList:
    return nn.ModuleList(
        Transformer2DModel(spec.out_channels, depth, spec.transformer)
        for depth in spec.transformer.depths
    )


def _downsamplers(spec: BlockSpec) -> nn.ModuleList:
    make = (
        [Downsample2D(spec.out_channels, padding=spec.downsample_padding)] if spec.resample else []
    )
    return nn.ModuleList(make)


def _upsamplers(spec: BlockSpec) -> nn.ModuleList:
    return nn.ModuleList([Upsample2D(spec.out_channels)] if spec.resample else [])
