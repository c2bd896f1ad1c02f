"""Networks small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTokenizer

TOKENS = 12
"""The number of tokens that a tiny text encoder reads."""

WIDTH = 16
"""The width of the hidden states of a tiny text encoder."""

UNET: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}
VAE: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "latent_channels": 4,
    "sample_size": 16,
}
BETAS: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


def seeded(make: Callable[[], Any], seed: int = 0) -> Any:
    """Return the network that `make` builds, with seeded weights, ready for inference."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval().requires_grad_(False)


def _characters() -> list[str]:
    """Return one printable character for each byte, as in byte-level BPE."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [256 + i for i in range(256 - len(printable))]
    return [chr(code) for code in (*printable, *others)]


def make_tokenizer(folder: Path, **options: Any) -> CLIPTokenizer:
    """Return a byte-pair tokenizer with three merges; its files are written to `folder`."""
    merges = [("a", "t</w>"), ("c", "at</w>"), ("r", "e")]
    letters = _characters()
    words = [*letters, *(c + "</w>" for c in letters), *("".join(m) for m in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(m) for m in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        model_max_length=TOKENS,
        **options,
    )


def make_text_encoder(
    kind: type[Any], tokenizer: CLIPTokenizer, seed: int = 0, **changes: Any
) -> Any:
    """Return a text encoder of `kind`, one of the CLIP classes of transformers."""
    config = CLIPTextConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "max_position_embeddings": TOKENS,
            "projection_dim": WIDTH,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            **changes,
        }
    )

    def make() -> Any:
        model = kind(config)
        # The default initial values are so small that all prompts would give similar results.
        model.get_input_embeddings().weight.data.normal_()
        return model

    return seeded(make, seed)
