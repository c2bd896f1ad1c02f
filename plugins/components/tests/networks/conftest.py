"""Small networks, with the same random weights in every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.unet import UNet2DConditionModel

UNET: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 12,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
# Of diffusion among pixels.
PIXELS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 6,
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("ResnetDownsampleBlock2D",) + ("SimpleCrossAttnDownBlock2D",) * 2,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D",) * 2 + ("ResnetUpsampleBlock2D",),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "resnet_time_scale_shift": "scale_shift",
    "encoder_hid_dim": 12,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    "cross_attention_norm": "group_norm",
}
VAE: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 8,
    "sample_size": 16,
}


@pytest.fixture
def make_unet() -> Callable[..., UNet2DConditionModel]:
    def make(**changes: Any) -> UNet2DConditionModel:
        torch.manual_seed(0)
        return UNet2DConditionModel(**{**UNET, **changes}).eval()

    return make


@pytest.fixture
def make_pixel_unet(
    make_unet: Callable[..., UNet2DConditionModel],
) -> Callable[..., UNet2DConditionModel]:
    return lambda **changes: make_unet(**{**PIXELS, **changes})


@pytest.fixture
def make_vae() -> Callable[..., AutoencoderKL]:
    def make(**changes: Any) -> AutoencoderKL:
        torch.manual_seed(0)
        return AutoencoderKL(**{**VAE, **changes}).eval()

    return make


@pytest.fixture
def draw() -> Callable[..., torch.Tensor]:
    """Seeded standard normal noise."""
    generator = torch.Generator().manual_seed(0)

    def of(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return of
