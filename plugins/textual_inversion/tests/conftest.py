"""Small pipelines with one text encoder and with two, and vectors for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import BETAS, UNET, VAE, WIDTH, make_text_encoder, make_tokenizer, seeded
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import autopipe
from autopipe_components.encoders import clip_text
from autopipe_components.processing.clip_tokenizer import CLIPTokenizer

WIDTH_2 = 24
"""The width of the second text encoder."""


@pytest.fixture
def rows() -> Callable[..., Tensor]:
    """Makes vectors: `rows(2)` for the first text encoder, `rows(2, second=True)`."""

    def make(count: int = 1, second: bool = False, width: int = WIDTH, seed: int = 0) -> Tensor:
        width = WIDTH_2 if second else width
        return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tokenizer."""
    place = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(place).save_pretrained(place)
    return place


@pytest.fixture(params=["light", "transformers"])
def kind(request: pytest.FixtureRequest) -> str:
    """Whose tokenizers and text encoders a pipeline has."""
    return request.param


@pytest.fixture
def pipe(kind: str, folder: Path, tmp_path: Path) -> Any:
    """A Stable Diffusion with tokenizer and text encoder of the library or of transformers."""
    tokenizer: Any = make_tokenizer(tmp_path)
    encoder = make_text_encoder(CLIPTextModel, tokenizer)
    if kind == "light":
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        encoder = twin(clip_text.CLIPTextModel, encoder)
    made = autopipe.StableDiffusionPipeline(
        vae=seeded(lambda: autopipe.AutoencoderKL(**VAE)),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=seeded(lambda: autopipe.UNet2DConditionModel(**UNET), seed=1),
        scheduler=autopipe.DDIMScheduler(**BETAS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def xl(folder: Path, tmp_path: Path) -> Any:
    """A Stable Diffusion XL."""
    tokenizer = make_tokenizer(tmp_path)
    ids, pooled = 4, 10
    config = {
        **UNET,
        "cross_attention_dim": WIDTH + WIDTH_2,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": ids,
        "projection_class_embeddings_input_dim": pooled + 6 * ids,
    }
    second = make_text_encoder(
        CLIPTextModelWithProjection, tokenizer, 1, hidden_size=WIDTH_2, projection_dim=pooled
    )
    made = autopipe.StableDiffusionXLPipeline(
        vae=seeded(lambda: autopipe.AutoencoderKL(**VAE)),
        text_encoder=twin(clip_text.CLIPTextModel, make_text_encoder(CLIPTextModel, tokenizer)),
        text_encoder_2=twin(clip_text.CLIPTextModelWithProjection, second),
        tokenizer=CLIPTokenizer.from_pretrained(folder),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder),
        unet=seeded(lambda: autopipe.UNet2DConditionModel(**config), seed=1),
        scheduler=autopipe.DDIMScheduler(**BETAS),
        add_watermarker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def twin(cls: Any, theirs: Any) -> Any:
    """Return a network of the library with the config and weights of one of transformers."""
    ours = cls(theirs.config)
    ours.load_state_dict(ours.fitted_state(theirs.state_dict()))
    return ours.eval().requires_grad_(False)


@pytest.fixture
def draw() -> Callable[..., Tensor]:
    """`draw(pipe, prompt)`: the picture (1, 3, H, W) of a short call."""

    def picture(pipe: Any, prompt: str = "a <cat> sat", seed: int = 0, **call: Any) -> Tensor:
        call = {"num_inference_steps": 2, "output_type": "pt", **call}
        generator = torch.Generator().manual_seed(seed)
        found: Tensor = pipe(prompt, generator=generator, **call).images
        return found

    return picture
