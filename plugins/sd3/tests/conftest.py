"""A Stable Diffusion 3 small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from support.pictures import mask, picture
from support.tiny import VAE, make_text_encoder, make_tokenizer, seeded
from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

import autopipe
from autopipe import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from autopipe.pipeline.base import DiffusionPipeline

from .small import LONG, POOLED, TOKENS, TRANSFORMER

WORDS = (
    "a red cat on a white background",
    "a photo of a dog, and of a kangaroo in an orange hoodie",
    "blurry, low quality picture of nothing at all",
)


def _clip(folder: Path, seed: int, **options: Any) -> tuple[Any, Any]:
    tokenizer = make_tokenizer(folder, **options)
    kind = CLIPTextModelWithProjection
    return tokenizer, make_text_encoder(kind, tokenizer, seed=seed, projection_dim=POOLED)


def _t5(folder: Path) -> tuple[Any, Any]:
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
    tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=0, model_max_length=512)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=LONG,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return tokenizer, seeded(lambda: T5EncoderModel(config), seed=3)


@pytest.fixture(scope="session")
def transformers() -> Callable[..., SD3Transformer2DModel]:
    """Makes a transformer, each of a kind once: `transformers(in_channels=33)`."""
    made: dict[Any, SD3Transformer2DModel] = {}

    def transformer(**changes: Any) -> SD3Transformer2DModel:
        key = tuple(changes.items())
        if key not in made:
            config = {**TRANSFORMER, **changes}
            made[key] = seeded(lambda: SD3Transformer2DModel(**config), seed=4)
        return made[key]

    return transformer


@pytest.fixture(scope="session")
def parts(
    tmp_path_factory: pytest.TempPathFactory, transformers: Callable[..., Any]
) -> dict[str, Any]:
    """The components."""
    tokenizer, text_encoder = _clip(tmp_path_factory.mktemp("tokenizer"), 1)
    tokenizer_2, text_encoder_2 = _clip(tmp_path_factory.mktemp("tokenizer_2"), 2, pad_token="!")
    tokenizer_3, text_encoder_3 = _t5(tmp_path_factory.mktemp("tokenizer_3"))
    vae = {
        **VAE,
        "latent_channels": 16,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    return {
        "transformer": transformers(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": seeded(lambda: AutoencoderKL(**vae)),
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "text_encoder_2": text_encoder_2,
        "tokenizer_2": tokenizer_2,
        "text_encoder_3": text_encoder_3,
        "tokenizer_3": tokenizer_3,
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **components: Any) -> Any:
        pipe: Any = kind(**{**parts, **components})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@dataclass(frozen=True)
class TaskCase:
    """A pipeline class and the least that its call needs."""

    kind: type[Any]
    call: dict[str, Any]


CASES: dict[str, dict[str, Any]] = {
    "StableDiffusion3Pipeline": {},
    "StableDiffusion3Img2ImgPipeline": {"image": picture(), "strength": 0.7},
    "StableDiffusion3InpaintPipeline": {"image": picture(), "mask_image": mask()},
}


@pytest.fixture(params=CASES)
def task(request: pytest.FixtureRequest) -> TaskCase:
    """Each task in turn."""
    call = {
        "num_inference_steps": 3,
        "output_type": "pt",
        "max_sequence_length": TOKENS,
        **CASES[request.param],
    }
    return TaskCase(getattr(autopipe, request.param), call)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network may be used in this test."""

    def used(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail(f"{type(self).__name__} was used before the error")

    for network, method in (
        (SD3Transformer2DModel, "forward"),
        (AutoencoderKL, "encode"),
        (AutoencoderKL, "decode"),
        (CLIPTextModelWithProjection, "forward"),
        (T5EncoderModel, "forward"),
    ):
        monkeypatch.setattr(network, method, used)


@pytest.fixture
def seed() -> Callable[[int], torch.Generator]:
    return lambda number=0: torch.Generator().manual_seed(number)
