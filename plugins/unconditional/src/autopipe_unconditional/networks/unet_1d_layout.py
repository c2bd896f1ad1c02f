"""Which blocks a one-dimensional U-Net can be made of."""

from __future__ import annotations

from collections.abc import Iterable

from autopipe.config import FrozenConfig
from autopipe.errors import ConfigError
from autopipe.wording import shown

from .unet_1d_blocks import OUT_BLOCKS, TEMPORAL, VALUE_MID, VALUE_OUT, WITH_TIME, Block


def check_types(config: FrozenConfig) -> None:
    """Check that the types of blocks in the config of a `UNet1DModel` fit together.

    Raises:
        ConfigError: if they don't.
    """
    down, up, out = config.down_block_types, config.up_block_types, config.out_block_type
    channels = config.block_out_channels
    if len(down) != len(channels):
        raise ConfigError(
            f"down_block_types has {len(down)} values {shown(down)}, but block_out_channels "
            f"{len(channels)}; give one value for each"
        )
    if len(up) > len(channels):
        raise ConfigError(
            f"up_block_types has {len(up)} values {shown(up)}, but block_out_channels only "
            f"{len(channels)}, each of which makes one skip connection"
        )
    if WITH_TIME in down[1:]:
        raise ConfigError(f"down_block_types has {WITH_TIME} after the first block; move it")
    if out not in (None, *OUT_BLOCKS):
        raise ConfigError(
            f"out_block_type is {shown(out)}; supported are None, {' and '.join(OUT_BLOCKS)}"
        )
    values = (config.mid_block_type == VALUE_MID, out == VALUE_OUT)
    if any(values) and (up or not all(values)):
        raise ConfigError(
            f"mid_block_type {VALUE_MID}, out_block_type {VALUE_OUT} and no up_block_types "
            f"make a value function together; give all of them"
        )
    if out == "OutConv1DBlock" and not up and channels[0] != channels[-1]:
        raise ConfigError(
            f"out_block_type {out} takes the first of block_out_channels, so without "
            f"up_block_types the last one must equal it"
        )
    named = {
        **dict.fromkeys(down, "down_block_types"),
        config.mid_block_type: "mid_block_type",
        **dict.fromkeys(up, "up_block_types"),
        out: "out_block_type",
    }
    for name, entry in named.items():
        if name in TEMPORAL and not config.use_timestep_embedding:
            raise ConfigError(
                f"{entry} has {name}, which needs the embedding of time, but "
                f"use_timestep_embedding is False; set it"
            )
    if down[0] == WITH_TIME and config.use_timestep_embedding:
        raise ConfigError(
            f"use_timestep_embedding is True, but {WITH_TIME} of down_block_types takes the "
            f"time without it"
        )


def lowest_scale(down: Iterable[Block], mid: Block, up: Iterable[Block]) -> float:
    """Return the length in the middle of a U-Net, of which the length of its input is 1.

    Raises:
        ConfigError: if a skip connection doesn't have the length of the block that takes it.
    """
    scale, skips = 1.0, []
    for block in down:
        skips.append(scale if block.skips_before else scale * block.scale)
        scale *= block.scale
    lowest = scale * mid.lowest
    scale *= mid.scale
    for block in up:
        if scale != skips.pop():
            raise ConfigError(
                "up_block_types can't undo the changes of length by down_block_types and "
                "mid_block_type; give blocks of the same kinds in reverse order, and no "
                "downsample_each_block"
            )
        scale *= block.scale
    return lowest
