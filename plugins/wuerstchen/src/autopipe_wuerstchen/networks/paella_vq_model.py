"""The autoencoder of Würstchen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin, entry_point
from autopipe_components.networks.vae import DecoderOutput, check_channels
from autopipe_components.networks.vq_model import VectorQuantizer, VQEncoderOutput

from .layers import WUERSTCHEN_LIMITS, ChannelNorm


class MixingResidualBlock(nn.Module):
    """Mixes neighbours, then channels, each scaled and shifted by learned numbers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.depthwise = nn.Sequential(
            nn.ReplicationPad2d(1), nn.Conv2d(channels, channels, 3, groups=channels)
        )
        self.norm2 = ChannelNorm(channels)
        self.channelwise = nn.Sequential(
            nn.Linear(channels, channels * 4), nn.GELU(), nn.Linear(channels * 4, channels)
        )
        self.gammas = nn.Parameter(torch.zeros(6))

    def forward(self, pixels: Tensor) -> Tensor:
        gammas = self.gammas
        mixed = self.depthwise(self.norm1(pixels) * (1 + gammas[0]) + gammas[1])
        pixels = pixels + mixed * gammas[2]
        scaled = self.norm2(pixels) * (1 + gammas[3]) + gammas[4]
        changed: Tensor = self.channelwise(scaled.movedim(1, -1))
        return pixels + changed.movedim(-1, 1) * gammas[5]


class PaellaVQModel(ModelMixin):
    """Encodes images in [0, 1] into latents, and decodes them.

    The latents are `up_down_scale_factor * 2 ** (levels - 1)` times smaller. `scale_factor` is for
    callers: latents are divided by it. "A Novel Sampling Scheme for Text- and Image-Conditional
    Image Synthesis in Quantized Latent Spaces" (Rampas et al. 2022, arXiv:2211.07292).
    """

    config_limits = WUERSTCHEN_LIMITS

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        up_down_scale_factor: int = 2,
        levels: int = 2,
        bottleneck_blocks: int = 12,
        embed_dim: int = 384,
        latent_channels: int = 4,
        num_vq_embeddings: int = 8192,
        scale_factor: float = 0.3764,
    ) -> None:
        super().__init__()
        factor = up_down_scale_factor
        widths = [max(embed_dim // 2**level, 1) for level in reversed(range(levels))]
        self.in_block = nn.Sequential(
            nn.PixelUnshuffle(factor), nn.Conv2d(in_channels * factor**2, widths[0], 1)
        )
        down: list[nn.Module] = []
        for above, width in zip([0, *widths], widths):
            if above:
                down.append(nn.Conv2d(above, width, kernel_size=4, stride=2, padding=1))
            down.append(MixingResidualBlock(width))
        to_latents = nn.Conv2d(widths[-1], latent_channels, 1, bias=False)
        down.append(nn.Sequential(to_latents, nn.BatchNorm2d(latent_channels)))
        self.down_blocks = nn.Sequential(*down)
        self.vquantizer = VectorQuantizer(num_vq_embeddings, latent_channels)
        up: list[nn.Module] = [nn.Sequential(nn.Conv2d(latent_channels, widths[-1], 1))]
        up += [MixingResidualBlock(widths[-1]) for _ in range(bottleneck_blocks - 1)]
        for below, width in zip([0, *reversed(widths)], reversed(widths)):
            if below:
                up.append(nn.ConvTranspose2d(below, width, kernel_size=4, stride=2, padding=1))
            up.append(MixingResidualBlock(width))
        self.up_blocks = nn.Sequential(*up)
        self.out_block = nn.Sequential(
            nn.Conv2d(widths[0], out_channels * factor**2, 1), nn.PixelShuffle(factor)
        )

    @entry_point
    def encode(self, x: Tensor, return_dict: bool = True) -> VQEncoderOutput | tuple[Tensor]:
        """Return the latents of images (B, in_channels, H, W), not yet quantised."""
        check_channels("images", x, self.config.in_channels)
        latents: Tensor = self.down_blocks(self.in_block(x))
        return VQEncoderOutput(latents=latents) if return_dict else (latents,)

    @entry_point
    def decode(
        self, h: Tensor, force_not_quantize: bool = True, return_dict: bool = True
    ) -> DecoderOutput | tuple[Tensor]:
        """Return the images (B, out_channels, H, W) of latents.

        Args:
            h: (B, latent_channels, h, w).
            force_not_quantize: if False, replace latents by the nearest ones of the codebook.
            return_dict: if False, return a tuple.
        """
        check_channels("latents", h, self.config.latent_channels)
        latents = h if force_not_quantize else self.vquantizer(h)[0]
        images: Tensor = self.out_block(self.up_blocks(latents))
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Encode images and decode them."""
        return self.decode(self.encode(sample)[0], return_dict=return_dict)
