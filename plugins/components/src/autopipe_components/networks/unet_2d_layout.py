"""Derives the embeddings and blocks of a U-Net without a prompt from its config."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from autopipe.errors import ConfigError
from autopipe.wording import shown

from .embeddings import FourierTimesteps, TimestepEmbedding, Timesteps
from .resnet import ResnetOptions, check_groups
from .unet_2d_blocks import PICTURE, default_groups, skip_paths
from .unet_blocks import BlockSpec

_FREQUENCY_SCALE = 16
"""The standard deviation of the frequencies of a Fourier embedding."""

_SAMPLING = ("conv", "resnet")


class LogFourierTimesteps(FourierTimesteps):
    """Embeds the logarithm of noise levels, (N,) -> (N, 2 * num_frequencies)."""

    def __init__(self, num_frequencies: int) -> None:
        super().__init__(num_frequencies, flip_sin_to_cos=False)
        self.weight.data *= _FREQUENCY_SCALE

    def forward(self, timesteps: Tensor) -> Tensor:
        return super().forward(timesteps.log())


class LearnedTimesteps(nn.Embedding):
    """A learned vector for each timestep, (N,) -> (N, D)."""

    def forward(self, timesteps: Tensor) -> Tensor:
        return super().forward(timesteps.long())


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ConfigError if values of `config` contradict each other, or are not supported."""
    channels = config["block_out_channels"]
    for name in ("down_block_types", "up_block_types"):
        if len(config[name]) != len(channels):
            raise ConfigError(
                f"{name} has {len(config[name])} values, but block_out_channels names "
                f"{len(channels)} resolutions; give one for each"
            )
    for name in ("downsample_type", "upsample_type"):
        if config[name] not in _SAMPLING:
            raise ConfigError(
                f"{name} is {shown(config[name])}; supported are {' and '.join(_SAMPLING)}"
            )
    if config["mid_block_type"] not in (None, "UNetMidBlock2D"):
        raise ConfigError(
            f"mid_block_type is {shown(config['mid_block_type'])}; supported are UNetMidBlock2D "
            "and None"
        )
    down, up = skip_paths(config)
    # The picture is as large as the features: it goes down from the first level, and up to it.
    for name, path in (("down_block_types", down[:-1]), ("up_block_types", up[::-1])):
        if any(after and not before for before, after in itertools.pairwise(path)):
            raise ConfigError(
                f"{name} has {shown(config[name])}; blocks with a skip path are those of the "
                f"highest resolutions, without others between"
            )
    carrying = [*down, *up]
    if config["norm_num_groups"] is not None or not all(carrying):
        check_groups(config["norm_num_groups"], channels)
    sides = {config["in_channels"], config["out_channels"]}
    if any(carrying) and sides != {PICTURE}:
        raise ConfigError(
            f"in_channels is {config['in_channels']} and out_channels {config['out_channels']}; "
            f"blocks with a skip path take and make {PICTURE} channels"
        )


def time_projection(config: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """Return the module that embeds timesteps, and its output width."""
    first, kind = config["block_out_channels"][0], config["time_embedding_type"]
    if kind == "fourier":
        return LogFourierTimesteps(first), 2 * first
    if kind == "positional":
        flip, shift = config["flip_sin_to_cos"], config["freq_shift"]
        return Timesteps(first, flip_sin_to_cos=flip, downscale_freq_shift=shift), first
    if kind != "learned":
        raise ConfigError(
            f"time_embedding_type is {shown(kind)}; 'positional', 'fourier' and 'learned' are "
            "supported"
        )
    count = config["num_train_timesteps"]
    if count is None:
        raise ConfigError("time_embedding_type 'learned' needs num_train_timesteps")
    return LearnedTimesteps(count, first), first


def class_embedding_of(config: Mapping[str, Any], embedded: int, width: int) -> nn.Module | None:
    """Return the module that embeds classes as (B, `width`); None without classes.

    Args:
        embedded: the output width of `time_projection`.
    """
    kind, count = config["class_embed_type"], config["num_class_embeds"]
    if kind is None:
        return None if count is None else nn.Embedding(count, width)
    if kind == "timestep":
        return TimestepEmbedding(embedded, width)
    if kind == "identity":
        return nn.Identity()
    raise ConfigError(
        f"class_embed_type is {shown(kind)}; supported are None, 'timestep' and 'identity'"
    )


def lay_out(
    config: Mapping[str, Any], time_channels: int
) -> tuple[list[BlockSpec], BlockSpec, list[BlockSpec]]:
    """Return the specification of each block: down, mid and up, in the order of use."""
    channels, layers = config["block_out_channels"], config["layers_per_block"]
    top = len(channels) - 1
    resnet = ResnetOptions(
        time_channels=time_channels,
        eps=config["norm_eps"],
        # Blocks with a skip path have their own numbers.
        groups=config["norm_num_groups"] or 1,
        act_fn=config["act_fn"],
        dropout=config["dropout"],
        time_scale_shift=config["resnet_time_scale_shift"],
    )
    down = [
        BlockSpec(
            in_channels=channels[max(i - 1, 0)],
            out_channels=width,
            num_layers=layers,
            resample=i < top,
            downsample_padding=config["downsample_padding"],
            resnet=resnet,
        )
        for i, width in enumerate(channels)
    ]
    last = channels[-1]
    groups = config["norm_num_groups"] or default_groups(last)
    scaled = replace(resnet, groups=groups, output_scale_factor=config["mid_block_scale_factor"])
    mid = BlockSpec(in_channels=last, out_channels=last, resnet=scaled)
    up = [
        BlockSpec(
            in_channels=channels[min(i + 1, top)],
            out_channels=channels[i],
            skip_channels=(channels[i],) * layers + (channels[max(i - 1, 0)],),
            resample=i > 0,
            resnet=resnet,
        )
        for i in reversed(range(top + 1))
    ]
    return down, mid, up
