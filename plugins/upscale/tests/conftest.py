"""Upscalers small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.pictures import picture
from support.tiny import BETAS, UNET, VAE, WIDTH, make_text_encoder, make_tokenizer, seeded
from transformers import CLIPTextModel, CLIPTokenizer

from autopipe import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from autopipe.pipeline.base import DiffusionPipeline

CLASSES = ("StableDiffusionUpscalePipeline", "StableDiffusionLatentUpscalePipeline")
LEVELS = 400
X4: dict[str, Any] = {**UNET, "in_channels": 7, "out_channels": 4, "num_class_embeds": LEVELS}
LATENTS: dict[str, Any] = {
    "act_fn": "gelu",
    "attention_head_dim": 8,
    "block_out_channels": (32, 64, 64),
    "conv_in_kernel": 1,
    "conv_out_kernel": 1,
    "cross_attention_dim": WIDTH,
    "down_block_types": ("KDownBlock2D",) + ("KCrossAttnDownBlock2D",) * 2,
    "in_channels": 8,
    "layers_per_block": 1,
    "mid_block_type": None,
    "norm_num_groups": None,
    "out_channels": 5,
    "resnet_time_scale_shift": "scale_shift",
    "sample_size": 8,
    "time_cond_proj_dim": 128 + WIDTH,
    "time_embedding_type": "fourier",
    "timestep_post_act": "gelu",
    "up_block_types": ("KCrossAttnUpBlock2D",) * 2 + ("KUpBlock2D",),
}
WORDLESS: dict[str, Any] = {
    "in_channels": 6,
    "out_channels": 3,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 8,
    "norm_num_groups": 4,
    "sample_size": 32,
}
VQ: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "latent_channels": 3,
    "num_vq_embeddings": 64,
    "sample_size": 64,
}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return make_text_encoder(CLIPTextModel, tokenizer)


@pytest.fixture(scope="session")
def vaes() -> dict[str, AutoencoderKL]:
    """The autoencoder of each class: diffusers changes the config of one."""
    return {name: seeded(lambda: AutoencoderKL(**{**VAE, "sample_size": 64})) for name in CLASSES}


@pytest.fixture(scope="session")
def networks() -> dict[str, UNet2DConditionModel]:
    """The U-Net of each class."""
    return {
        "StableDiffusionUpscalePipeline": seeded(lambda: UNet2DConditionModel(**X4), seed=1),
        "StableDiffusionLatentUpscalePipeline": seeded(
            lambda: UNet2DConditionModel(**LATENTS), seed=1
        ),
    }


@pytest.fixture(scope="session")
def wordless() -> dict[str, Any]:
    """The components of the upscaler without a prompt."""
    vqvae = seeded(lambda: VQModel(**VQ))
    # Vectors of its codebook that are as far apart as latents are.
    vqvae.quantize.embedding.weight.data.normal_(generator=torch.Generator().manual_seed(5))
    return {"vqvae": vqvae, "unet": seeded(lambda: UNet2DModel(**WORDLESS), seed=1)}


@pytest.fixture
def build(
    vaes: dict[str, AutoencoderKL],
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    networks: dict[str, UNet2DConditionModel],
    wordless: dict[str, Any],
) -> Callable[..., Any]:
    """Makes a pipeline: `build(StableDiffusionUpscalePipeline, scheduler=...)`."""

    def pipeline(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        own: dict[str, dict[str, Any]] = {
            "StableDiffusionUpscalePipeline": {
                "low_res_scheduler": DDPMScheduler(**BETAS),
                "scheduler": DDIMScheduler(**BETAS),
            },
            "StableDiffusionLatentUpscalePipeline": {
                "scheduler": EulerDiscreteScheduler(**BETAS, prediction_type="sample"),
            },
        }
        if kind.__name__ not in CLASSES:
            pipe: Any = kind(**{**wordless, "scheduler": DDIMScheduler(**BETAS), **changes})
            pipe.set_progress_bar_config(disable=True)
            return pipe
        components = {
            "vae": vaes[kind.__name__],
            "text_encoder": text_encoder,
            "tokenizer": tokenizer,
            "unet": networks[kind.__name__],
            **own[kind.__name__],
        }
        pipe = kind(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture(params=CLASSES)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each class that takes a prompt."""
    import autopipe

    return getattr(autopipe, request.param)


@pytest.fixture
def call() -> dict[str, Any]:
    """The least that a call needs."""
    return {"prompt": "a cat", "image": picture(), "num_inference_steps": 3, "output_type": "pt"}


@pytest.fixture
def seed() -> Callable[[int], torch.Generator]:
    return lambda number=0: torch.Generator().manual_seed(number)
