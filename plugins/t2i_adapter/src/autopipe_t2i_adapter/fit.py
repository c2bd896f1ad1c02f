"""Whether an adapter was made for a U-Net: widths and resolutions of its features."""

from __future__ import annotations

from typing import Any

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.networks.unet import UNet2DConditionModel

from .hints import nets_of
from .multiadapter import MultiAdapter
from .t2iadapter import T2IAdapter


def check_fits(adapter: Any, unet: Any, pixels: int) -> None:
    """Check that adapters fit a U-Net.

    Args:
        pixels: the number of pixels per latent cell.

    Raises:
        ArgumentTypeError: if `adapter` is not a T2I-Adapter.
        ArgumentError: if it makes features of other sizes than the U-Net has, or the U-Net is not
            one of autopipe.
    """
    for number, net in enumerate(nets_of(adapter)):
        name = MultiAdapter.part_name("adapter", number)
        if not isinstance(net, T2IAdapter):
            raise ArgumentTypeError(
                f"{name} must be a T2IAdapter, a list of them, or a MultiAdapter, not "
                f"{type(net).__name__}"
            )
        if not isinstance(unet, UNet2DConditionModel):
            raise ArgumentError(
                f"a T2I-Adapter needs a UNet2DConditionModel of autopipe as unet, not a "
                f"{type(unet).__name__}"
            )
        wanted = features_of(unet, pixels)
        own = list(zip(net.widths, net.strides))
        if own[: len(wanted)] != wanted[: len(own)] or len(own) > len(wanted) + 1:
            raise ArgumentError(
                f"{name} is for another kind of checkpoint: the channels of its features, and the "
                f"pixels per cell, are {own}, but the down blocks of the U-Net take {wanted}; give "
                f"an adapter that was trained for it"
            )


def features_of(unet: Any, pixels: int) -> list[tuple[int, int]]:
    """Return for each down block the channels and pixels per cell of the features it takes."""
    found = []
    for width, block in zip(unet.config.block_out_channels, unet.down_blocks):
        halved = pixels * 2 if len(block.downsamplers) else pixels
        # Blocks without attention add them after halving.
        found.append((width, pixels if len(block.attentions) else halved))
        pixels = halved
    return found
