"""Editing pipelines small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.pictures import picture
from support.tiny import BETAS, UNET, VAE, WIDTH, make_text_encoder, make_tokenizer, seeded
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import autopipe
from autopipe import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)
from autopipe.pipeline.base import DiffusionPipeline

POOLED, IDS = 10, 4
CLASSES = ("StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The components of Stable Diffusion that both classes have."""
    tokenizer: CLIPTokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return {
        "vae": seeded(lambda: AutoencoderKL(**VAE)),
        "text_encoder": make_text_encoder(CLIPTextModel, tokenizer),
        "tokenizer": tokenizer,
    }


@pytest.fixture(scope="session")
def further(base: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each class has besides."""
    config = {**UNET, "in_channels": 8, "out_channels": 4}
    xl = {
        **config,
        "cross_attention_dim": 2 * WIDTH,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": IDS,
        "projection_class_embeddings_input_dim": POOLED + 6 * IDS,
    }
    return {
        CLASSES[0]: {
            "unet": seeded(lambda: UNet2DConditionModel(**config), seed=1),
            "scheduler": EulerAncestralDiscreteScheduler(**BETAS),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        },
        CLASSES[1]: {
            "text_encoder_2": make_text_encoder(
                CLIPTextModelWithProjection, base["tokenizer"], seed=2, projection_dim=POOLED
            ),
            "tokenizer_2": base["tokenizer"],
            "unet": seeded(lambda: UNet2DConditionModel(**xl), seed=3),
            "scheduler": EulerDiscreteScheduler(**BETAS),
            "add_watermarker": False,
        },
    }


@pytest.fixture
def build(base: dict[str, Any], further: dict[str, dict[str, Any]]) -> Callable[..., Any]:
    """Makes a pipeline: `build(StableDiffusionInstructPix2PixPipeline, scheduler=...)`."""

    def pipeline(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        pipe: Any = kind(**{**base, **further[kind.__name__], **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture(params=CLASSES)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each class."""
    return getattr(autopipe, request.param)


@pytest.fixture
def call() -> dict[str, Any]:
    """The least that a call needs."""
    return {"prompt": "a cat", "image": picture(), "num_inference_steps": 3, "output_type": "pt"}


@pytest.fixture
def seed() -> Callable[[int], torch.Generator]:
    return lambda number=0: torch.Generator().manual_seed(number)
