"""The networks of the demo checkpoint: small, and of the ordinary classes of the family."""

from __future__ import annotations

from typing import Any

from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.unet import UNet2DConditionModel

from .shapes import SIZE

TEXT_WIDTH = 96
TEXT_LENGTH = 32
LATENT_CHANNELS = 4
LATENT_SIZE = SIZE // 4

NOISE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    # Ends at a signal of 0.6 %. The scaled-linear betas of Stable Diffusion end at 7 %, at which
    # the mean colour of a plain picture still shows through the noise and overrules the caption.
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
}
"""The noise schedule, in the words of a scheduler's config."""


def build_vae() -> AutoencoderKL:
    """An autoencoder from 64x64 pixels to 16x16 latents of four channels."""
    return AutoencoderKL(
        sample_size=SIZE,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
    )


def build_unet() -> UNet2DConditionModel:
    """A denoiser that attends to the caption on its two inner levels."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text tower of two layers over the captions' own vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=3 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
