"""The one-dimensional U-Net: of waveforms, and of trajectories and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput
from autopipe.values import Range
from autopipe.wording import shown
from autopipe_components.networks.activations import get_activation
from autopipe_components.networks.embeddings import (
    FourierTimesteps,
    TimestepEmbedding,
    Timesteps,
    timesteps_of,
)
from autopipe_components.networks.limits import LIMITS

from .unet_1d_blocks import (
    DOWN_BLOCKS,
    MID_BLOCKS,
    UP_BLOCKS,
    VALUE_OUT,
    WITH_TIME,
    BlockSpec,
    ConvOutput,
    ValueOutput,
    find_block,
)
from .unet_1d_layers import Downsample, Upsample
from .unet_1d_layout import check_types, lowest_scale

_SHORTEST = 3
"""The least length in the middle of a network of waveforms, whose filters reflect the ends."""


@dataclass
class UNet1DOutput(BaseOutput):
    """`sample`: the prediction, (B, out_channels, L); of a value function (B, 1)."""

    sample: Tensor


class UNet1DModel(ModelMixin):
    """Predicts the noise, or the velocity, of sequences (B, in_channels, L).

    Blocks of waveforms are those of Dance Diffusion (Zach Evans, Harmonai, 2022). Blocks of
    trajectories are those of Diffuser (Janner et al., 2022, arXiv:2205.09991).

    Args:
        sample_size: the length that it was trained on.
        sample_rate: the samples of a waveform per second.
        extra_in_channels: further channels of the first block: those of the time, for
            "DownBlock1DNoSkip"; otherwise the caller appends them to `sample`.
        time_embedding_type: "fourier", by fixed random frequencies, or "positional".
        time_embedding_dim: the width of Fourier embeddings. If None, it is `extra_in_channels`
            where these are the time's, as in published checkpoints, and else twice the first of
            `block_out_channels`.
        use_timestep_embedding: whether a perceptron follows, as blocks of trajectories need.
        out_block_type: "OutConv1DBlock", "ValueFunction", or None.
        norm_num_groups: the groups of "OutConv1DBlock".
        layers_per_block: the residual blocks after the first one, in blocks of trajectories.
        downsample_each_block: whether the last of these and the middle halve the length too.
    """

    sample_axes: ClassVar[int] = 1
    """The number of axes after the channels, by which the memory of calls is estimated."""

    config_limits: ClassVar[Mapping[str, Range]] = {
        **LIMITS,
        "sample_size": Range(1, 1 << 24),
        "sample_rate": Range(1, 1 << 24),
        "extra_in_channels": Range(0, 1 << 16),
        # A value function has no up blocks.
        "up_block_types": Range(longest=64),
    }

    @register_to_config
    def __init__(
        self,
        sample_size: int = 65536,
        sample_rate: int | None = None,
        in_channels: int = 2,
        out_channels: int = 2,
        extra_in_channels: int = 0,
        time_embedding_type: str = "fourier",
        time_embedding_dim: int | None = None,
        flip_sin_to_cos: bool = True,
        use_timestep_embedding: bool = False,
        freq_shift: float = 0.0,
        down_block_types: Sequence[str] = ("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
        up_block_types: Sequence[str] = ("AttnUpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
        mid_block_type: str = "UNetMidBlock1D",
        out_block_type: str | None = None,
        block_out_channels: Sequence[int] = (32, 32, 64),
        act_fn: str | None = None,
        norm_num_groups: int | None = 8,
        layers_per_block: int = 1,
        downsample_each_block: bool = False,
    ) -> None:
        super().__init__()
        first, last = block_out_channels[0], block_out_channels[-1]
        check_types(self.config)
        appends_time = down_block_types[0] == WITH_TIME
        self.sample_channels = in_channels + (0 if appends_time else extra_in_channels)
        """The channels of `sample`."""

        width = self._make_time_projection(appends_time)
        if use_timestep_embedding:
            self.time_mlp = TimestepEmbedding(
                width, 4 * first, act_fn=self._activation_name(), out_dim=first
            )
        if appends_time and extra_in_channels != width:
            raise ConfigError(
                f"extra_in_channels is {extra_in_channels}, but {WITH_TIME} appends the {width} "
                f"channels of the time, time_embedding_dim; make them equal"
            )

        count = len(block_out_channels)
        widths = [in_channels + extra_in_channels, *block_out_channels]
        self.down_blocks = nn.ModuleList(
            find_block(DOWN_BLOCKS, "down_block_types", name)(
                BlockSpec(
                    in_channels=before,
                    mid_channels=after,
                    out_channels=after,
                    time_channels=first,
                    layers=layers_per_block,
                    resample=i < count or downsample_each_block,
                )
            )
            for i, (name, before, after) in enumerate(
                zip(down_block_types, widths, widths[1:]), start=1
            )
        )
        # One after the other, since per-layer settings are listed in this order.
        mid = BlockSpec(last, last, last, first, layers_per_block, downsample_each_block)
        self.mid_block = find_block(MID_BLOCKS, "mid_block_type", mid_block_type)(mid)
        widths = [*block_out_channels[::-1], 0][: len(up_block_types)]
        widths += [out_channels if out_block_type is None else first]
        self.up_blocks = nn.ModuleList(
            find_block(UP_BLOCKS, "up_block_types", name)(
                BlockSpec(
                    in_channels=2 * before,
                    mid_channels=after if name == "AttnUpBlock1D" else before,
                    out_channels=after,
                    time_channels=first,
                    layers=layers_per_block,
                    resample=i < count,
                )
            )
            for i, (name, before, after) in enumerate(
                zip(up_block_types, widths, widths[1:]), start=1
            )
        )
        self._lowest = lowest_scale(self.down_blocks, self.mid_block, self.up_blocks)  # type: ignore[arg-type]
        self.out_block: nn.Module | None = None
        if out_block_type is not None:
            act = get_activation(self._activation_name())
            if out_block_type == VALUE_OUT:
                self.out_block = ValueOutput(last // 4, first, act)
            else:
                groups = min(first // 4, 32) if norm_num_groups is None else norm_num_groups
                self.out_block = ConvOutput(first, out_channels, groups, act)

    def _make_time_projection(self, appends_time: bool) -> int:
        """Make `time_proj`; return the width of its output."""
        config, first = self.config, self.config.block_out_channels[0]
        kind, flip = config.time_embedding_type, config.flip_sin_to_cos
        if kind == "positional":
            self.time_proj: nn.Module = Timesteps(
                first, flip_sin_to_cos=flip, downscale_freq_shift=config.freq_shift
            )
            return int(first)
        if kind != "fourier":
            raise ConfigError(
                f"time_embedding_type is {shown(kind)}; 'positional' and 'fourier' are supported"
            )
        width = config.time_embedding_dim or (appends_time and config.extra_in_channels)
        width = width or 2 * first
        if width % 2:
            raise ConfigError(
                f"time_embedding_dim is {width} (extra_in_channels, if it is None); 'fourier' "
                f"embeddings need an even one"
            )
        self.time_proj = FourierTimesteps(width // 2, flip_sin_to_cos=flip)
        return int(width)

    def _activation_name(self) -> str:
        name: str | None = self.config.act_fn
        if name is None:
            raise ConfigError(
                "act_fn is None, but use_timestep_embedding and out_block_type need an activation "
                "function; name one, such as 'mish'"
            )
        return name

    @property
    def length_multiple(self) -> int:
        """The number that lengths of sequences must be multiples of."""
        return round(1 / self._lowest) if len(self.up_blocks) else 1

    @property
    def shortest(self) -> int:
        """The least length of sequences."""
        has_filters = any(isinstance(block, (Downsample, Upsample)) for block in self.modules())
        return round(_SHORTEST / self._lowest) if has_filters else self.length_multiple

    def forward(
        self, sample: Tensor, timestep: Tensor | float | int, return_dict: bool = True
    ) -> UNet1DOutput | tuple[Tensor]:
        """Predict the noise in `sample`, or another target that the model was trained to predict.

        Args:
            sample: (B, sample_channels, L); L is at least `shortest`, and a multiple of
                `length_multiple`.
            timestep: one for all samples, or a tensor (B,).
            return_dict: if False, return `(prediction,)`.

        Raises:
            ArgumentError: if a shape doesn't fit.
        """
        self._check(sample)
        batch, length = sample.shape[0], sample.shape[2]
        time: Tensor = self.time_proj(timesteps_of(timestep, sample)).to(sample.dtype)
        time = time.expand(batch, -1)
        time = self.time_mlp(time) if self.config.use_timestep_embedding else time[..., None]
        if time.ndim == 3:
            time = time.expand(-1, -1, length)
        hidden, skips = sample, []
        for block in self.down_blocks:
            hidden, skip = block(hidden, time)
            skips.append(skip)
        hidden, _ = self.mid_block(hidden, time)
        for block in self.up_blocks:
            hidden, _ = block(torch.cat([hidden, skips.pop()], dim=1), time)
        if self.out_block is not None:
            hidden = self.out_block(hidden, time)
        return UNet1DOutput(hidden) if return_dict else (hidden,)

    def _check(self, sample: Any) -> None:
        channels, multiple = self.sample_channels, self.length_multiple
        least = self.shortest
        fits = isinstance(sample, Tensor) and sample.ndim == 3 and sample.shape[1] == channels
        if not fits or sample.shape[2] < least or sample.shape[2] % multiple:
            raise ArgumentError(
                f"sample is {shown(sample)}; this model takes a tensor (B, {channels}, L), where L "
                f"is at least {least} and divisible by {multiple}"
            )
