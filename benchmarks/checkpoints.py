"""Checkpoints to measure with: the sizes of real ones, the weights random."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from autopipe import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

SIZES = {
    # Stable Diffusion 1.5: a U-Net of 860 M parameters, a text encoder of 123 M, a VAE of 84 M.
    "real": {
        "unet": {
            "sample_size": 64,
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
            "block_out_channels": (320, 640, 1280, 1280),
        },
        "vae": {"sample_size": 512, "block_out_channels": (128, 256, 512, 512)},
        "text": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
        },
    },
    "small": {
        "unet": {
            "sample_size": 16,
            "cross_attention_dim": 64,
            "attention_head_dim": 4,
            "block_out_channels": (32, 64, 64, 64),
        },
        "vae": {"sample_size": 128, "block_out_channels": (32, 32, 64, 64)},
        "text": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
    },
}


def make(folder: Path, size: str) -> Path:
    """Write a checkpoint of `size` below `folder`, unless it is there."""
    target = folder / size
    if (target / "model_index.json").is_file():
        return target
    torch.manual_seed(0)
    settings = SIZES[size]
    tokenizer = _tokenizer(folder / f"{size}-vocabulary")
    StableDiffusionPipeline(
        vae=AutoencoderKL(
            latent_channels=4,
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            **settings["vae"],
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                max_position_embeddings=77,
                hidden_act="quick_gelu",
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                **settings["text"],
            )
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(**settings["unet"]),
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(target)
    return target


def _tokenizer(folder: Path) -> CLIPTokenizer:
    """A tokenizer of single letters: its size does not matter to what is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    return CLIPTokenizer(*files, model_max_length=77)
