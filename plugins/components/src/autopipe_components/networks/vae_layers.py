"""The layers of encoder and decoder, with group normalisation or spatial norm.

Spatial norm is from "MoVQ: Modulating Quantized Vectors for High-Fidelity Image Generation" (Zheng
et al. 2022, arXiv:2209.09002): after group normalisation, the activations of a decoder are scaled
and shifted at each position by factors computed from the latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ConfigError

from .activations import get_activation
from .attention import Attention, SpatialAttention, to_pixels, to_tokens
from .attention_processors import AttnProcessor2_0
from .resnet import ResnetBlock2D, ResnetOptions, check_groups

EPS = 1e-6
_SPATIAL_GROUPS = 32
"""The number of groups in checkpoints with spatial norm, regardless of their config."""


class SpatialNorm(nn.Module):
    """Normalises (B, channels, H, W), modulated by latents (B, latent_channels, h, w)."""

    def __init__(self, channels: int, latent_channels: int) -> None:
        super().__init__()
        self.norm_layer = nn.GroupNorm(_SPATIAL_GROUPS, channels, eps=EPS)
        self.conv_y = nn.Conv2d(latent_channels, channels, kernel_size=1)
        self.conv_b = nn.Conv2d(latent_channels, channels, kernel_size=1)

    def forward(self, hidden: Tensor, latents: Tensor) -> Tensor:
        # A 1x1 convolution and nearest-neighbour upsampling commute; this order is cheaper.
        scale, shift = (
            F.interpolate(conv(latents), size=hidden.shape[-2:], mode="nearest")
            for conv in (self.conv_y, self.conv_b)
        )
        return torch.addcmul(shift, self.norm_layer(hidden), scale)


class SpatialNormResnet(nn.Module):
    """Two convolutions with spatial norm, and a shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, *, latent_channels: int, act_fn: str
    ) -> None:
        super().__init__()
        self.act = get_activation(act_fn)
        self.norm1 = SpatialNorm(in_channels, latent_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm2 = SpatialNorm(out_channels, latent_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.conv_shortcut = (
            None
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, kernel_size=1)
        )

    def forward(self, hidden: Tensor, latents: Tensor) -> Tensor:
        shortcut = hidden
        # One variable, and the shortcut last: a large tensor is freed once the next one is there.
        hidden = self.act(self.norm1(hidden, latents))
        hidden = self.conv1(hidden)
        hidden = self.norm2(hidden, latents)
        hidden = self.act(hidden)
        hidden = self.conv2(hidden)
        if self.conv_shortcut is not None:
            shortcut = self.conv_shortcut(shortcut)
        hidden = shortcut + hidden
        return hidden


class SpatialNormAttention(Attention):
    """Attention over the pixels of (B, C, H, W) after spatial norm, added to the input."""

    residual_connection = True

    def __init__(self, channels: int, *, latent_channels: int) -> None:
        super().__init__(channels, heads=1, head_dim=channels, bias=True)
        self.spatial_norm = SpatialNorm(channels, latent_channels)

    def forward(self, hidden: Tensor, latents: Tensor) -> Tensor:  # type: ignore[override]
        if type(self.processor) is not AttnProcessor2_0:
            return self.processed(hidden, None, None, {}, temb=latents)
        return self.compute(hidden, temb=latents)

    def compute(
        self,
        hidden: Tensor,
        context: Tensor | None = None,
        bias: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        tokens = to_tokens(self.spatial_norm(hidden, temb))
        return hidden + to_pixels(super().compute(tokens, context, bias), hidden.shape[-2:])


@dataclass(frozen=True)
class Layers:
    """Creates the layers of an encoder or decoder; each takes activations, and latents or None.

    `groups` is the number of groups of a normalisation. `latent_channels` is the number of channels
    of the latents with spatial norm; None without it.
    """

    groups: int
    act_fn: str
    latent_channels: int | None = None

    def check(self, block_out_channels: Sequence[int]) -> None:
        """Raise ConfigError unless the channels can be normalised in groups."""
        if self.latent_channels is None:
            check_groups(self.groups, block_out_channels)
            return
        for channels in block_out_channels:
            if channels % _SPATIAL_GROUPS:
                raise ConfigError(
                    f"norm_type is 'spatial', whose {_SPATIAL_GROUPS} groups don't divide the "
                    f"{channels} channels that block_out_channels names"
                )

    def resnet(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return a residual block, (B, in_channels, H, W) -> (B, out_channels, H, W)."""
        if self.latent_channels is None:
            options = ResnetOptions(
                time_channels=None, eps=EPS, groups=self.groups, act_fn=self.act_fn
            )
            return ResnetBlock2D(in_channels, out_channels, options)
        return SpatialNormResnet(
            in_channels, out_channels, latent_channels=self.latent_channels, act_fn=self.act_fn
        )

    def attention(self, channels: int) -> nn.Module:
        """Return attention over all pixels, (B, channels, H, W)."""
        if self.latent_channels is None:
            return SpatialAttention(channels, heads=1, groups=self.groups, eps=EPS)
        return SpatialNormAttention(channels, latent_channels=self.latent_channels)

    def norm(self, channels: int) -> nn.Module:
        """Return a normalisation; a plain group normalisation takes no latents."""
        if self.latent_channels is None:
            return nn.GroupNorm(self.groups, channels, eps=EPS)
        return SpatialNorm(channels, self.latent_channels)
