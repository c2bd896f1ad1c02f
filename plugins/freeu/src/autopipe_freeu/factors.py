"""The four factors of FreeU, and what they do to the features of a U-Net."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.values import number
from autopipe.wording import shown
from autopipe_components.networks.resnet import ResnetBlock2D
from autopipe_components.networks.unet import UNet2DConditionModel
from autopipe_components.networks.unet_blocks import PIXEL_BLOCKS, UpBlock

_STAGES = 2


@dataclass(frozen=True)
class Factors:
    """The factors of FreeU; all 1 for no change.

    Attributes:
        s1, s2: of the lowest frequencies of the skip connections, in the first and second up block;
            less than 1 to weaken them.
        b1, b2: of half of the features of the backbone there; more than 1 to strengthen them.
    """

    s1: float = 0.9
    s2: float = 0.2
    b1: float = 1.3
    b2: float = 1.4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            found = number(name, value)
            if found <= 0:
                raise ArgumentError(f"{name} is {shown(value)}; give a number above 0")
            object.__setattr__(self, name, found)

    def towards(self, strength: float) -> Factors:
        """Return the factors of a strength: 0 for no change, 1 for these.

        Raises:
            ArgumentError: if a factor would not be above 0.
        """
        return Factors(**{name: 1 + strength * (one - 1) for name, one in asdict(self).items()})

    def of_stage(self, stage: int) -> tuple[float, float]:
        """Return the factors of skip connections and backbone in up block 0 or 1."""
        return (self.s1, self.b1) if stage == 0 else (self.s2, self.b2)

    @classmethod
    def of(cls, value: Any) -> Factors:
        """Return factors given as a mapping, or as four numbers in the order s1, s2, b1, b2.

        Raises:
            ArgumentTypeError: if `value` is neither.
            ArgumentError: if a factor is not above 0.
        """
        names = [one.name for one in fields(cls)]
        if isinstance(value, Mapping) and value.keys() == set(names):
            return cls(**value)
        if isinstance(value, (list, tuple)) and len(value) == len(names):
            return cls(*value)
        raise ArgumentTypeError(
            f"FreeU got {shown(value)}; give a number, or the four factors {', '.join(names)}"
        )


class Scaled:
    """Changes the input of a residual block of an up block: features, then a skip connection.

    Attributes:
        channels: the number of channels of the features.
        skip, backbone: the factors.
    """

    def __init__(self, channels: int, skip: float, backbone: float) -> None:
        self.channels, self.skip, self.backbone = channels, skip, backbone

    def apply(self, joined: Tensor) -> Tensor:
        """Return the changed input, (B, C, H, W)."""
        half = self.channels // 2
        kept = joined[:, half : self.channels]
        filtered = scaled_lows(joined[:, self.channels :], self.skip)
        return torch.cat([joined[:, :half] * self.backbone, kept, filtered], dim=1)

    def __call__(self, layer: nn.Module, hidden: Tensor, *inputs: Any) -> Any:
        """Run the residual block with the changed input, in its place in a view."""
        return layer(self.apply(hidden), *inputs)


def scaled_lows(features: Tensor, factor: float) -> Tensor:
    """Return (B, C, H, W) with its lowest frequencies, 0 and -1 along each axis, scaled."""
    # In float32, since half precision has no Fourier transform of every size.
    spectrum = torch.fft.fft2(features.float())
    mask = torch.ones(spectrum.shape[-2:], device=features.device)
    for row in (0, -1):
        for column in (0, -1):
            mask[row, column] = factor
    filtered: Tensor = torch.fft.ifft2(spectrum * mask).real
    return filtered.to(features.dtype)


def changes(unet: UNet2DConditionModel, factors: Factors) -> Iterator[tuple[str, Scaled]]:
    """Yield the path of each residual block of the first two up blocks, and what changes it."""
    channels = int(unet.config.block_out_channels[-1])
    for stage, block in enumerate(list(unet.up_blocks)[:_STAGES]):
        assert isinstance(block, UpBlock)
        for index, resnet in enumerate(block.resnets):
            path = f"up_blocks.{stage}.resnets.{index}"
            yield path, Scaled(channels, *factors.of_stage(stage))
            assert isinstance(resnet, ResnetBlock2D)
            channels = resnet.conv2.out_channels


def why_not(network: object) -> str | None:
    """Return why FreeU doesn't fit a network, as the end of a sentence, or None."""
    if not isinstance(network, UNet2DConditionModel):
        return f"a {type(network).__name__} isn't a UNet2DConditionModel of autopipe"
    found = set(network.config.up_block_types[:_STAGES]) & PIXEL_BLOCKS
    return f"its up blocks are {', '.join(sorted(found))}" if found else None
