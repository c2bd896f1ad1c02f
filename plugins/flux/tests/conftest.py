"""A Flux.1 small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from support.pictures import mask, picture
from support.tiny import VAE, WIDTH, make_text_encoder, make_tokenizer, seeded
from transformers import CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

from autopipe import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)

STATES = 24
"""The width of the states of T5."""

TRANSFORMER: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": STATES,
    "pooled_projection_dim": WIDTH,
    "guidance_embeds": True,
    "axes_dims_rope": (4, 2, 2),
}
SHIFTED: dict[str, Any] = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_image_seq_len": 4,
    "max_image_seq_len": 64,
}
"""With lengths for tiny images, so that the number of tokens matters."""

WORDS = (
    "a red cat on a white background",
    "a photo of a dog, and of a kangaroo in an orange hoodie",
    "blurry, low quality picture of nothing at all",
)

IMAGES: dict[type, dict[str, Any]] = {
    FluxPipeline: {},
    FluxImg2ImgPipeline: {"image": picture()},
    FluxInpaintPipeline: {"image": picture(), "mask_image": mask()},
}
"""What each pipeline needs besides a prompt."""


def make_t5_tokenizer(folder: Path) -> Any:
    """Return a real SentencePiece model, trained on a few words."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    return T5Tokenizer.from_pretrained(folder, extra_ids=0, model_max_length=512)


def make_t5(tokenizer: Any) -> Any:
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=STATES,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return seeded(lambda: T5EncoderModel(config), seed=2)


def make_transformer(**changes: Any) -> Any:
    def make() -> Any:
        network = FluxTransformer2DModel(**{**TRANSFORMER, **changes})
        for parameter in network.parameters():
            # Norms of queries and keys have weights of 1 and 0, which would hide mistakes.
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return network

    return seeded(make, seed=3)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The components."""
    tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    tokenizer_2 = make_t5_tokenizer(tmp_path_factory.mktemp("tokenizer_2"))
    vae = {**VAE, "use_quant_conv": False, "use_post_quant_conv": False}
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(**SHIFTED),
        "vae": seeded(lambda: AutoencoderKL(**vae, scaling_factor=0.36, shift_factor=0.12)),
        "text_encoder": make_text_encoder(CLIPTextModel, tokenizer, seed=1),
        "tokenizer": tokenizer,
        "text_encoder_2": make_t5(tokenizer_2),
        "tokenizer_2": tokenizer_2,
        "transformer": make_transformer(),
    }


@pytest.fixture(scope="session")
def saved(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkpoint whose transformer is smaller still."""
    small = make_transformer(num_layers=1, num_single_layers=1)
    folder = tmp_path_factory.mktemp("checkpoint")
    FluxPipeline(**{**parts, "transformer": small}).save_pretrained(folder)
    return folder


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: Any, **components: Any) -> Any:
        pipe = kind(**{**parts, **components})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture(scope="session")
def images() -> dict[type, dict[str, Any]]:
    """What each pipeline needs besides a prompt."""
    return IMAGES


@pytest.fixture(scope="session")
def transformer() -> Callable[..., Any]:
    """`transformer(**config)`: a network of another config."""
    return make_transformer


@pytest.fixture
def shifted() -> Callable[..., Any]:
    """`shifted(**config)`: a scheduler with another config."""
    return lambda **changes: FlowMatchEulerDiscreteScheduler(**{**SHIFTED, **changes})


@pytest.fixture(params=IMAGES, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type:
    """Each pipeline class in turn."""
    found: type = request.param
    return found
