"""The networks inside a T2I-Adapter, with the names of published checkpoints.

Each begins by moving squares of pixels into the channels, and returns the output of each of its
blocks: a feature map for each level of a U-Net.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn


class Residual(nn.Module):
    """Adds two convolutions of a feature map to it; the second has the kernel size `second`."""

    def __init__(self, channels: int, second: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, kernel_size=second, padding=second // 2)

    def forward(self, hidden: Tensor) -> Tensor:
        changed: Tensor = self.block2(nn.functional.relu(self.block1(hidden)))
        return changed + hidden


class Block(nn.Module):
    """Residual layers at one resolution, after halving it if `down`."""

    def __init__(
        self, channels: int, num_res_blocks: int, *, second: int, down: bool = False
    ) -> None:
        super().__init__()
        # Odd sizes are rounded up, as U-Nets do.
        self.downsample = nn.AvgPool2d(2, stride=2, ceil_mode=True) if down else None
        self.in_conv: nn.Conv2d | None = None
        self.resnets = nn.Sequential(*(Residual(channels, second) for _ in range(num_res_blocks)))
        self.out_conv: nn.Conv2d | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in (self.downsample, self.in_conv, self.resnets, self.out_conv):
            hidden = hidden if layer is None else layer(hidden)
        return hidden


class AdapterBlock(Block):
    """A block of full adapters; a 1x1 convolution changes the number of channels, if need be."""

    def __init__(self, inputs: int, outputs: int, num_res_blocks: int, down: bool = False) -> None:
        super().__init__(outputs, num_res_blocks, second=1, down=down)
        if inputs != outputs:
            self.in_conv = nn.Conv2d(inputs, outputs, kernel_size=1)


class LightBlock(Block):
    """A block of light adapters, whose residual layers have a quarter of the channels."""

    def __init__(self, inputs: int, outputs: int, num_res_blocks: int, down: bool = False) -> None:
        super().__init__(outputs // 4, num_res_blocks, second=3, down=down)
        self.in_conv = nn.Conv2d(inputs, outputs // 4, kernel_size=1)
        self.out_conv = nn.Conv2d(outputs // 4, outputs, kernel_size=1)


class Layers(nn.Module):
    """The base of the kinds of adapters.

    Attributes:
        widths: the channels of the feature maps, from the highest resolution to the lowest.
        halvings: how often each of them was halved after the pixels were moved into channels.
    """

    def __init__(
        self, in_channels: int, channels: Sequence[int], num_res_blocks: int, downscale_factor: int
    ) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(downscale_factor)
        self.conv_in: nn.Conv2d | None = None
        blocks = self.make(in_channels * downscale_factor**2, channels, num_res_blocks)
        self.body = nn.ModuleList(blocks)
        layout = self.layout(channels)
        self.widths = [width for width, _ in layout]
        self.halvings = list(itertools.accumulate(int(down) for _, down in layout))

    @classmethod
    def layout(cls, channels: Sequence[int]) -> list[tuple[int, bool]]:
        """Return the output channels of each block, and whether it halves the resolution."""
        raise NotImplementedError

    def make(self, inputs: int, channels: Sequence[int], num_res_blocks: int) -> list[Block]:
        """Return the blocks, for an input with `inputs` channels."""
        raise NotImplementedError

    def forward(self, picture: Tensor) -> list[Tensor]:
        hidden = self.unshuffle(picture)
        hidden = hidden if self.conv_in is None else self.conv_in(hidden)
        features = []
        for block in self.body:
            hidden = block(hidden)
            features.append(hidden)
        return features


class FullAdapter(Layers):
    """The adapter of Stable Diffusion: each block after the first halves the resolution."""

    @classmethod
    def layout(cls, channels: Sequence[int]) -> list[tuple[int, bool]]:
        return [(width, number > 0) for number, width in enumerate(channels)]

    def make(self, inputs: int, channels: Sequence[int], num_res_blocks: int) -> list[Block]:
        self.conv_in = nn.Conv2d(inputs, channels[0], kernel_size=3, padding=1)
        before = [channels[0], *channels]
        return [
            AdapterBlock(last, width, num_res_blocks, down)
            for last, (width, down) in zip(before, self.layout(channels))
        ]


class FullAdapterXL(FullAdapter):
    """The adapter of SDXL: only the third block halves the resolution."""

    @classmethod
    def layout(cls, channels: Sequence[int]) -> list[tuple[int, bool]]:
        return [(width, number == 2) for number, width in enumerate(channels)]


class LightAdapter(Layers):
    """The small adapter of Stable Diffusion, with one block more than it has widths."""

    @classmethod
    def layout(cls, channels: Sequence[int]) -> list[tuple[int, bool]]:
        return [(width, number > 0) for number, width in enumerate([*channels, channels[-1]])]

    def make(self, inputs: int, channels: Sequence[int], num_res_blocks: int) -> list[Block]:
        return [
            LightBlock(last, width, num_res_blocks, down)
            for last, (width, down) in zip([inputs, *channels], self.layout(channels))
        ]
