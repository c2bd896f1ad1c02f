"""A VQ-Diffusion model small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.tiny import TOKENS, VAE, WIDTH, make_text_encoder, make_tokenizer, seeded
from transformers import CLIPTextModel

from autopipe import (
    LearnedClassifierFreeSamplingEmbeddings,
    Transformer2DModel,
    VQDiffusionScheduler,
    VQModel,
)

CLASSES, SIDE = 17, 8
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 2,
    "cross_attention_dim": WIDTH,
    "attention_bias": True,
    "sample_size": SIDE,
    "num_vector_embeds": CLASSES,
    "activation_fn": "geglu-approximate",
    "num_embeds_ada_norm": 10,
}


def make_learned(learnable: bool = True) -> Any:
    """Return embeddings that differ from zero, or none."""
    sizes = {"hidden_size": WIDTH, "length": TOKENS} if learnable else {}
    made = seeded(lambda: LearnedClassifierFreeSamplingEmbeddings(learnable, **sizes))
    made.embeddings.data.fill_(0.2)
    return made


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The components."""
    tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    transformer = seeded(lambda: Transformer2DModel(**TRANSFORMER))
    transformer.out.weight.data *= 8  # Or else all classes are about equally likely.
    return {
        "vqvae": seeded(lambda: VQModel(**VAE, vq_embed_dim=4, num_vq_embeddings=CLASSES - 1)),
        "text_encoder": make_text_encoder(CLIPTextModel, tokenizer),
        "tokenizer": tokenizer,
        "transformer": transformer,
        "scheduler": VQDiffusionScheduler(num_vec_classes=CLASSES, num_train_timesteps=10),
        "learned_classifier_free_sampling_embeddings": make_learned(),
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: Any, **components: Any) -> Any:
        pipe = kind(**{**parts, **components})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
