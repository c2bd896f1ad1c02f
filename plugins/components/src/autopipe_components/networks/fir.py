"""Resampling with a FIR filter, without the aliasing of strides and repeated pixels.

"Score-Based Generative Modeling through Stochastic Differential Equations" (Song et al., 2021,
arXiv:2011.13456, appendix H), after "Analyzing and Improving the Image Quality of StyleGAN" (Karras
et al., 2020).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .resnet import ResnetBlock2D, ResnetOptions, conv_1x1

_TAPS = (1.0, 3.0, 3.0, 1.0)


def halved(pixels: Tensor) -> Tensor:
    """Return (B, C, H, W) filtered and at half the size, (B, C, H / 2, W / 2)."""
    return F.conv2d(pixels, _kernel(pixels), stride=2, padding=1, groups=pixels.shape[1])


def doubled(pixels: Tensor) -> Tensor:
    """Return (B, C, H, W) filtered and at twice the size, (B, C, 2 * H, 2 * W)."""
    # Between the pixels lie zeros, so that the filter is multiplied to keep the mean.
    kernel = 4 * _kernel(pixels)
    return F.conv_transpose2d(pixels, kernel, stride=2, padding=1, groups=pixels.shape[1])


def _kernel(like: Tensor) -> Tensor:
    """Return the filter for each channel of `like`, (C, 1, 4, 4), of sum 1."""
    taps = torch.tensor(_TAPS, device=like.device, dtype=torch.float32)
    kernel = torch.outer(taps, taps)
    return (kernel / kernel.sum()).to(like.dtype).expand(like.shape[1], 1, -1, -1)


class FirResnetBlock2D(ResnetBlock2D):
    """A residual block that first halves or doubles the size of its input with the filter."""

    def __init__(self, channels: int, options: ResnetOptions, *, down: bool) -> None:
        super().__init__(channels, channels, options)
        self.down = down
        # Its shortcut is a convolution even though the number of channels stays the same.
        self.conv_shortcut = conv_1x1(channels, channels)

    def forward(self, hidden: Tensor, time: Tensor | None = None) -> Tensor:
        resample = halved if self.down else doubled
        activated = self.act(self.norm1(hidden))
        return self._add_branches(resample(hidden), resample(activated), time)
