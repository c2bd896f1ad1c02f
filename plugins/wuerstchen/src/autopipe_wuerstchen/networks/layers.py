"""The layers that the networks of both stages share."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.values import Range
from autopipe_components.networks.attention import Attention
from autopipe_components.networks.limits import KERNEL, LAYERS, LIMITS, WIDTH

_FLAGS = Range(filled=True, longest=64)

WUERSTCHEN_LIMITS: Mapping[str, Range] = {
    **LIMITS,
    **dict.fromkeys(("c", "c_in", "c_out", "c_cond", "c_hidden", "embed_dim"), WIDTH),
    **dict.fromkeys(("effnet_embd", "clip_embd"), WIDTH),
    **dict.fromkeys(("depth", "blocks", "levels", "bottleneck_blocks"), LAYERS),
    "c_r": Range(4, 1 << 16),
    # Levels without attention have -1.
    "nhead": Range(-1, 1 << 12, filled=True, longest=64),
    **dict.fromkeys(("patch_size", "up_down_scale_factor"), Range(1, 64)),
    "kernel_size": KERNEL,
    "level_config": _FLAGS,
    "inject_effnet": _FLAGS,
    "scale_factor": Range(high=1e9, above=0),
}

_TIMES = 10000
"""Embedded times run from 0 to this, which is also the longest period of their waves."""


def embed_times(times: Tensor, width: int) -> Tensor:
    """Return times (B,) in [0, 1] as sines and cosines (B, `width`), in their dtype."""
    half = width // 2
    waves = torch.arange(half, device=times.device).float() * (-math.log(_TIMES) / (half - 1))
    angles = (times * _TIMES)[:, None] * waves.exp()[None]
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2)).to(times.dtype)


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of each pixel of (B, C, H, W), without weights."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6, elementwise_affine=False)

    def forward(self, pixels: Tensor) -> Tensor:
        normalised: Tensor = super().forward(pixels.movedim(1, -1))
        return normalised.movedim(-1, 1)


class GlobalResponseNorm(nn.Module):
    """Lets the channels of (B, H, W, C) compete (ConvNeXt V2, Woo et al., arXiv:2301.00808)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, pixels: Tensor) -> Tensor:
        energy = torch.linalg.vector_norm(pixels, dim=(1, 2), keepdim=True)
        share = energy / (energy.mean(dim=-1, keepdim=True) + 1e-6)
        added: Tensor = self.gamma * (pixels * share) + self.beta
        return added + pixels


class TimestepBlock(nn.Module):
    """Scales and shifts channels by embedded times (B, `width`)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.mapper = nn.Linear(width, 2 * channels)

    def forward(self, pixels: Tensor, times: Tensor) -> Tensor:
        scale, shift = self.mapper(times)[:, :, None, None].chunk(2, dim=1)
        moved: Tensor = pixels * (1 + scale) + shift
        return moved


class ResBlock(nn.Module):
    """A residual block of ConvNeXt; `skip` further channels join before the channels are mixed."""

    def __init__(
        self, channels: int, *, skip: int = 0, kernel_size: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        self.norm = ChannelNorm(channels)
        self.channelwise = nn.Sequential(
            nn.Linear(channels + skip, channels * 4),
            nn.GELU(),
            GlobalResponseNorm(channels * 4),
            nn.Dropout(dropout),
            nn.Linear(channels * 4, channels),
        )

    def forward(self, pixels: Tensor, skip: Tensor | None = None) -> Tensor:
        mixed = self.norm(self.depthwise(pixels))
        mixed = mixed if skip is None else torch.cat([mixed, skip], dim=1)
        changed: Tensor = self.channelwise(mixed.movedim(1, -1))
        return pixels + changed.movedim(-1, 1)


class AttnBlock(nn.Module):
    """Attention of pixels to each other and to a condition (B, K, `context`)."""

    def __init__(self, channels: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.attention = Attention(
            channels, heads=heads, head_dim=channels // heads, context_dim=channels, bias=True
        )
        self.kv_mapper = nn.Sequential(nn.SiLU(), nn.Linear(context, channels))

    def forward(self, pixels: Tensor, condition: Tensor) -> Tensor:
        tokens = self.norm(pixels).flatten(2).mT
        context = torch.cat([tokens, self.kv_mapper(condition)], dim=1)
        attended: Tensor = self.attention(tokens, context)
        return pixels + attended.mT.view_as(pixels)
