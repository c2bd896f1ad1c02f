"""Checkpoints to measure with: the sizes of real ones and tiny ones, with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from autopipe import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

_TINY_VAE = {"block_out_channels": (8, 16), "norm_num_groups": 8, "layers_per_block": 1}
_TINY_UNET = {
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
_VAE = {"sample_size": 512, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def _sd(unet: dict[str, Any], vae: dict[str, Any], text: tuple[int, int, int]) -> Any:
    """A pipeline of Stable Diffusion; `text` is the width, the layers and the heads."""
    return lambda tokenizer: StableDiffusionPipeline(
        vae=_vae(vae),
        text_encoder=CLIPTextModel(_text(tokenizer, *text)),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(cross_attention_dim=text[0], **unet),
        scheduler=PNDMScheduler(**_BETAS, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _xl(unet: dict[str, Any], vae: dict[str, Any], *texts: tuple[int, int, int]) -> Any:
    """A pipeline of Stable Diffusion XL; `texts` are its encoders."""
    (width, _, _), (pooled, _, _) = texts
    return lambda tokenizer: StableDiffusionXLPipeline(
        vae=_vae({**vae, "scaling_factor": 0.13025}),
        text_encoder=CLIPTextModel(_text(tokenizer, *texts[0])),
        text_encoder_2=CLIPTextModelWithProjection(
            _text(tokenizer, *texts[1], hidden_act="gelu", projection_dim=pooled)
        ),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=UNet2DConditionModel(
            cross_attention_dim=width + pooled,
            addition_embed_type="text_time",
            addition_time_embed_dim=unet["block_out_channels"][0] * 4 // 5,
            projection_class_embeddings_input_dim=pooled
            + 6 * (unet["block_out_channels"][0] * 4 // 5),
            use_linear_projection=True,
            **unet,
        ),
        scheduler=EulerDiscreteScheduler(**_BETAS, steps_offset=1, timestep_spacing="leading"),
    )


_XL_BLOCKS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}

SIZES: dict[str, Callable[[CLIPTokenizer], Any]] = {
    "tiny": _sd(_TINY_UNET, _TINY_VAE, (16, 2, 2)),
    "tiny-xl": _xl(
        {
            **_TINY_UNET,
            "block_out_channels": (20, 40),
            "norm_num_groups": 10,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        },
        _TINY_VAE,
        (16, 2, 2),
        (32, 2, 2),
    ),
    # For servers: a U-Net of 62 M parameters, whose step takes a tenth of that of 1.5.
    "middle": _sd(
        {
            "sample_size": 32,
            "attention_head_dim": 8,
            "block_out_channels": (96, 192, 320, 320),
        },
        {**_VAE, "block_out_channels": (32, 64, 128, 128)},
        (256, 4, 4),
    ),
    # Stable Diffusion 1.5: a U-Net of 860 M parameters, a text encoder of 123 M, a VAE of 84 M.
    "real": _sd(
        {
            "sample_size": 64,
            "attention_head_dim": 8,
            "block_out_channels": (320, 640, 1280, 1280),
        },
        _VAE,
        (768, 12, 12),
    ),
    # Stable Diffusion XL: a U-Net of 2.6 G parameters, text encoders of 123 M and 695 M.
    "xl": _xl(
        {
            **_XL_BLOCKS,
            "sample_size": 128,
            "block_out_channels": (320, 640, 1280),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
        },
        {**_VAE, "sample_size": 1024},
        (768, 12, 12),
        (1280, 32, 20),
    ),
}
"""How to make the pipeline of each size, from a tokenizer."""

DEMO = "demo:stable_diffusion"


def make(folder: Path, size: str) -> str:
    """Return a checkpoint of `size`, which is written below `folder` unless it is there."""
    if size == "demo":
        return DEMO
    target = (folder / size).resolve()
    if not (target / "model_index.json").is_file():
        pipeline(size, tokenizer(folder / "vocabulary")).save_pretrained(target)
    return str(target)


def pipeline(size: str, tokens: CLIPTokenizer) -> Any:
    """Return a new pipeline of `size`; that of SDXL is in float16, since its files are."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16 if size == "xl" else torch.float32)
    try:
        return SIZES[size](tokens)
    finally:
        torch.set_default_dtype(before)


def tokenizer(folder: Path) -> CLIPTokenizer:
    """Return a tokenizer of single letters: its size doesn't matter to what is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    return CLIPTokenizer(*files, model_max_length=77)


def _vae(options: dict[str, Any]) -> AutoencoderKL:
    count = len(options["block_out_channels"])
    return AutoencoderKL(
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        **options,
    )


def _text(
    tokens: CLIPTokenizer, width: int, layers: int, heads: int, **options: Any
) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408 if width >= 768 else len(tokens),
        max_position_embeddings=77,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        **{"hidden_act": "quick_gelu", **options},
    )
