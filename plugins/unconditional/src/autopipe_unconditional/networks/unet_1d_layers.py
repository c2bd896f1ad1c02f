"""The layers of one-dimensional U-Nets: convolutions, attention, and changes of length."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn, tensor

from autopipe.errors import ConfigError

_HEAD_WIDTH = 32
_GROUPS = 8
_KERNEL = 5
_CUBIC = (-0.01171875, -0.03515625, 0.11328125, 0.43359375)
"""The first half of a symmetric filter for twice the sampling rate, by cubic interpolation."""


class Downsample(nn.Module):
    """Halves the length of (B, C, L) by a fixed filter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", tensor((*_CUBIC, *_CUBIC[::-1])))

    def forward(self, hidden: Tensor) -> Tensor:
        padded = F.pad(hidden, (3, 3), mode="reflect")
        return F.conv1d(padded, _of_channels(self.kernel, hidden), stride=2, groups=hidden.shape[1])


class Upsample(nn.Module):
    """Doubles the length of (B, C, L) by a fixed filter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", 2 * tensor((*_CUBIC, *_CUBIC[::-1])))

    def forward(self, hidden: Tensor) -> Tensor:
        padded = F.pad(hidden, (2, 2), mode="reflect")
        kernel = _of_channels(self.kernel, hidden)
        return F.conv_transpose1d(padded, kernel, stride=2, padding=7, groups=hidden.shape[1])


def _of_channels(kernel: Any, hidden: Tensor) -> Tensor:
    """Return `kernel`, (K,), for each channel of `hidden` alone, (C, 1, K)."""
    repeated: Tensor = kernel.to(hidden).expand(hidden.shape[1], 1, -1)
    return repeated


class SequenceAttention(nn.Module):
    """Self-attention over the positions of (B, C, L), added to the input.

    Raises:
        ConfigError: if the channels can't be divided into heads about 32 wide.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD_WIDTH
        if not self.heads or channels % self.heads:
            raise ConfigError(
                f"block_out_channels has {channels} in a block with attention, as some of "
                f"down_block_types, mid_block_type and up_block_types are; it needs a multiple of "
                f"{_HEAD_WIDTH}"
            )
        self.group_norm = nn.GroupNorm(1, channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.proj_attn = nn.Linear(channels, channels)

    def forward(self, hidden: Tensor) -> Tensor:
        normed = self.group_norm(hidden).transpose(1, 2)
        query, key, value = (
            project(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        projected: Tensor = self.proj_attn(attended)
        return hidden + projected.transpose(1, 2)


class ResConvBlock(nn.Module):
    """Two convolutions, (B, in, L) -> (B, out, L), added to the input.

    The last block of a network ends without normalisation and activation.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, *, is_last: bool = False
    ) -> None:
        super().__init__()
        self.conv_skip = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv1d(in_channels, out_channels, 1, bias=False)
        )
        self.conv_1 = _conv(in_channels, mid_channels)
        self.group_norm_1 = nn.GroupNorm(1, mid_channels)
        self.conv_2 = _conv(mid_channels, out_channels)
        self.group_norm_2 = None if is_last else nn.GroupNorm(1, out_channels)

    def forward(self, hidden: Tensor) -> Tensor:
        skipped: Tensor = self.conv_skip(hidden)
        hidden = self.conv_2(F.gelu(self.group_norm_1(self.conv_1(hidden))))
        if self.group_norm_2 is not None:
            hidden = F.gelu(self.group_norm_2(hidden))
        return hidden + skipped


class ConvNormMish(nn.Module):
    """A convolution, normalisation and activation, (B, in, L) -> (B, out, L)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if out_channels % _GROUPS:
            raise ConfigError(
                f"block_out_channels asks for {out_channels} in a residual block (out_channels for "
                f"it, if out_block_type is None), which needs a multiple of {_GROUPS}"
            )
        self.conv1d = _conv(in_channels, out_channels)
        self.group_norm = nn.GroupNorm(_GROUPS, out_channels)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.mish(self.group_norm(self.conv1d(hidden)))


class TemporalResBlock(nn.Module):
    """Two convolutions with the time between them, (B, in, L) -> (B, out, L).

    "Planning with Diffusion for Flexible Behavior Synthesis" (Janner et al., 2022).
    """

    def __init__(self, in_channels: int, out_channels: int, time_channels: int) -> None:
        super().__init__()
        self.conv_in = ConvNormMish(in_channels, out_channels)
        self.conv_out = ConvNormMish(out_channels, out_channels)
        self.time_emb = nn.Linear(time_channels, out_channels)
        self.residual_conv = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv1d(in_channels, out_channels, 1)
        )

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        """Apply the block; `time` is (B, time_channels)."""
        skipped: Tensor = self.residual_conv(hidden)
        hidden = self.conv_in(hidden) + self.time_emb(F.mish(time))[:, :, None]
        hidden = skipped + self.conv_out(hidden)
        return hidden


class StridedConv(nn.Module):
    """A convolution that halves the length of (B, C, L)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, stride=2, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        halved: Tensor = self.conv(hidden)
        return halved


class TransposedConv(nn.Module):
    """A convolution that doubles the length of (B, C, L)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(channels, channels, 4, stride=2, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        doubled: Tensor = self.conv(hidden)
        return doubled


def _conv(in_channels: int, out_channels: int) -> nn.Conv1d:
    """Return a convolution that keeps the length."""
    return nn.Conv1d(in_channels, out_channels, _KERNEL, padding=_KERNEL // 2)
