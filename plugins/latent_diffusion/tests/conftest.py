"""A latent diffusion model small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny import BETAS, UNET, WIDTH, seeded
from transformers import BertTokenizer

from autopipe import AutoencoderKL, DDIMScheduler, LDMBertModel, UNet2DConditionModel

BERT: dict[str, Any] = {
    "max_position_embeddings": 77,
    "encoder_layers": 2,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "head_dim": 4,
    "d_model": WIDTH,
}
VAE: dict[str, Any] = {
    "block_out_channels": (8, 8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "norm_num_groups": 4,
    "latent_channels": 4,
    "sample_size": 32,
}
"""With the factor 8, which is the only one that diffusers draws with."""


def _tokenizer(folder: Path) -> Any:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", *letters]
    (folder / "vocab.txt").write_text("\n".join([*words, *("##" + c for c in letters)]) + "\n")
    return BertTokenizer(str(folder / "vocab.txt"), model_max_length=77)


def _bert(count: int) -> Any:
    model = LDMBertModel(vocab_size=count, **BERT)
    # The default initial values are so small that all prompts would give similar results.
    model.get_input_embeddings().weight.data.normal_()
    return model


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The components."""
    tokenizer = _tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return {
        "vqvae": seeded(lambda: AutoencoderKL(**VAE)),
        "bert": seeded(lambda: _bert(len(tokenizer))),
        "tokenizer": tokenizer,
        "unet": seeded(lambda: UNet2DConditionModel(**{**UNET, "sample_size": 4})),
        "scheduler": DDIMScheduler(**BETAS, clip_sample=False),
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: Any, **components: Any) -> Any:
        pipe = kind(**{**parts, **components})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
