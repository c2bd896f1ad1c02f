"""Small pipelines whose tokenizers know words, and readers of their text encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.tiny import BETAS, UNET, VAE, WIDTH, make_text_encoder, make_tokenizer, seeded
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import autopipe
from autopipe import AutoPipelineForText2Image
from autopipe_prompts.reader import Reader

POOLED, IDS = 10, 4
WORDS = "a red circle on a white background"


@pytest.fixture(scope="session")
def _demo() -> Any:
    return AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")


@pytest.fixture
def sd(_demo: Any) -> Any:
    """The demo of Stable Diffusion, whose text encoder takes 32 tokens, with its own pool."""
    pipe = type(_demo)(**_demo.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def _xl_parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Components of a tiny SDXL; the second tokenizer pads with an exclamation mark."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    one, two = make_tokenizer(folders[0]), make_tokenizer(folders[1], pad_token="!")
    config = {
        **UNET,
        "cross_attention_dim": 2 * WIDTH,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": IDS,
        "projection_class_embeddings_input_dim": POOLED + 6 * IDS,
        "out_channels": 4,
    }
    return {
        "vae": seeded(lambda: autopipe.AutoencoderKL(**VAE)),
        "tokenizer": one,
        "tokenizer_2": two,
        "text_encoder": make_text_encoder(CLIPTextModel, one, seed=1),
        "text_encoder_2": make_text_encoder(
            CLIPTextModelWithProjection, two, seed=2, projection_dim=POOLED
        ),
        "unet": seeded(lambda: autopipe.UNet2DConditionModel(**config), seed=3),
    }


@pytest.fixture
def xl(_xl_parts: dict[str, Any]) -> Any:
    """A tiny SDXL whose text encoders take 12 tokens."""
    pipe = autopipe.StableDiffusionXLPipeline(
        **_xl_parts, scheduler=autopipe.EulerDiscreteScheduler(**BETAS), add_watermarker=False
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def draw() -> Callable[..., Tensor]:
    """`draw(pipe, prompt, ...)`: the latents of a short call."""

    def latents(pipe: Any, prompt: Any = WORDS, seed: int = 1, **call: Any) -> Tensor:
        usual = {"num_inference_steps": 3, "guidance_scale": 5.0, "output_type": "latent"}
        generator = torch.Generator().manual_seed(seed)
        found: Tensor = pipe(prompt, generator=generator, **{**usual, **call}).images
        return found

    return latents


@pytest.fixture
def reader() -> Callable[..., Reader]:
    """`reader(pipe)`: a reader of its first text encoder."""

    def made(pipe: Any, **options: Any) -> Reader:
        return Reader.of(pipe, "text_encoder", pipe.encode_texts, {"device": "cpu", **options})

    return made


@pytest.fixture
def states() -> Callable[..., Tensor]:
    """`states(pipe, ids)`: what the text encoder of Stable Diffusion makes of ids, (K, D)."""

    def encoded(pipe: Any, ids: list[int], mask: list[int] | None = None) -> Tensor:
        given = None if mask is None else torch.tensor([mask])
        with torch.no_grad():
            found: Tensor = pipe.text_encoder(torch.tensor([ids]), attention_mask=given)[0][0]
        return found

    return encoded


@pytest.fixture
def padded() -> Callable[[Any, list[int]], list[int]]:
    """`padded(pipe, ids)`: ids between start and end, filled with the token for padding."""

    def row(pipe: Any, ids: list[int], size: int = 32) -> list[int]:
        one = pipe.tokenizer
        whole = [one.bos_token_id, *ids, one.eos_token_id]
        return whole + [one.pad_token_id] * (size - len(whole))

    return row


@pytest.fixture
def ids() -> Callable[[Any, str], list[int]]:
    """`ids(pipe, text)`: the tokens of a text, without start and end."""
    return lambda pipe, text: pipe.tokenizer(text).input_ids[1:-1]
