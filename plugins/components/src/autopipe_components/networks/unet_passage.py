"""The passage of features through the blocks of a U-Net: down, through the middle, and up.

Each layer of the down blocks makes a skip connection, and each layer of the up blocks takes one,
the last first. Skip connection 0 is the input of the first block, which K blocks don't take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from autopipe.errors import ArgumentError

from .conditioning import Conditioning
from .k_blocks import KUpBlock
from .unet_blocks import UpBlock

if TYPE_CHECKING:
    from .unet import UNet2DConditionModel


@dataclass(frozen=True)
class Residuals:
    """The features that other networks add to those of a U-Net.

    Attributes:
        down: one for each skip connection, or None.
        mid: for the output of the mid block, or None.
        adapter: one for each down block and possibly one for the mid block; empty for none.
    """

    down: Sequence[Tensor] | None = None
    mid: Tensor | None = None
    adapter: Sequence[Tensor] = ()


class Passage(nn.Module):
    """Passes features through all blocks of a U-Net.

    It has no parameters. It is a module so that an add-on can replace it in a view of the network,
    and run only some of the blocks.
    """

    def forward(
        self, unet: UNet2DConditionModel, hidden: Tensor, cond: Conditioning, residuals: Residuals
    ) -> Tensor:
        """Return the features for the output layers, from those of `conv_in`."""
        hidden, skips = go_down(unet, hidden, cond, residuals)
        hidden = go_through_middle(unet, hidden, cond, residuals)
        return go_up(unet, hidden, skips, cond)


def skip_count(unet: UNet2DConditionModel) -> int:
    """Return the number of skip connections of `unet`."""
    return sum(len(_layers(block)) for block in unet.up_blocks)


def go_down(
    unet: UNet2DConditionModel,
    hidden: Tensor,
    cond: Conditioning,
    residuals: Residuals,
    count: int | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Return the features after the down blocks, and the skip connections.

    Args:
        hidden: the output of `conv_in`.
        count: the number of skip connections to compute, at least 1; None means all. The features
            are then those after the last of them.

    Raises:
        ArgumentError: if the number of residuals differs from that of the skip connections.
    """
    adapter = list(residuals.adapter)
    skips = [] if unet.k_blocks else [hidden]
    for block in unet.down_blocks:
        if len(skips) == count:
            break
        left = None if count is None else count - len(skips)
        hidden, made = block(hidden, cond, adapter.pop(0) if adapter else None, left)
        skips += made
    if residuals.down is not None:
        if len(residuals.down) != skip_count(unet):
            raise ArgumentError(
                f"{len(residuals.down)} down_block_additional_residuals were given for "
                f"{skip_count(unet)} skip connections; the ControlNet was made for a U-Net of "
                "another depth"
            )
        skips = [skip + residual for skip, residual in zip(skips, residuals.down)]
    return hidden, skips


def go_through_middle(
    unet: UNet2DConditionModel, hidden: Tensor, cond: Conditioning, residuals: Residuals
) -> Tensor:
    """Return the features after the mid block, from those after the down blocks."""
    if unet.mid_block is not None:
        hidden = unet.mid_block(hidden, cond)
        adapter = residuals.adapter[len(unet.down_blocks) :]
        if adapter and adapter[0].shape == hidden.shape:
            hidden = hidden + adapter[0]
    return hidden if residuals.mid is None else hidden + residuals.mid


def go_up(
    unet: UNet2DConditionModel,
    hidden: Tensor,
    skips: Sequence[Tensor],
    cond: Conditioning,
    *,
    start: int | None = None,
    stop: int = 0,
) -> Tensor:
    """Run the layers of the up blocks that take the skip connections before `start`, to `stop`.

    By default these are all. The features between two parts are the output of the first part and
    the input of the second.

    Args:
        hidden: the input of the first of these layers.
        skips: the skip connections 0 to `start` - 1, or more.
    """
    remaining = skip_count(unet)
    start = remaining if start is None else start
    for block in unet.up_blocks:
        end, remaining = remaining, remaining - len(_layers(block))
        first, last = min(end, start), max(remaining, stop)
        if last < first:
            # The size of the next skip connection: odd sizes were rounded down before.
            size = skips[last - 1].shape[-2:] if last else None
            hidden = block(hidden, skips[last:first], cond, size, end - first)
    return hidden


def _layers(block: nn.Module) -> nn.ModuleList:
    assert isinstance(block, (UpBlock, KUpBlock))
    return block.resnets
