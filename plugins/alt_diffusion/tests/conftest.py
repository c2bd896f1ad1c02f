"""An AltDiffusion small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import tiny
from transformers import XLMRobertaTokenizer

from autopipe import (
    AutoencoderKL,
    PNDMScheduler,
    RobertaSeriesModelWithTransformation,
    UNet2DConditionModel,
)
from autopipe.pipeline.base import DiffusionPipeline


@pytest.fixture(scope="session")
def tokenizer() -> XLMRobertaTokenizer:
    """Knows the letters, at the start of a word and inside."""
    letters = [("▁" + one, -2.0) for one in string.ascii_lowercase]
    letters += [(one, -3.0) for one in string.ascii_lowercase]
    special = [(one, 0.0) for one in ("<s>", "<pad>", "</s>", "<unk>")]
    return XLMRobertaTokenizer(
        vocab=[*special, *letters, ("▁", -4.0), ("<mask>", 0.0)], model_max_length=tiny.TOKENS
    )


@pytest.fixture(scope="session")
def text_encoders(
    tokenizer: XLMRobertaTokenizer,
) -> Callable[..., RobertaSeriesModelWithTransformation]:
    """Makes a text encoder, each of a kind once."""
    made: dict[Any, RobertaSeriesModelWithTransformation] = {}

    def build(changes: dict[str, Any]) -> RobertaSeriesModelWithTransformation:
        model = RobertaSeriesModelWithTransformation(
            **{
                "vocab_size": len(tokenizer),
                "hidden_size": 24,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                "intermediate_size": 32,
                "max_position_embeddings": tiny.TOKENS + 4,
                "pad_token_id": tokenizer.pad_token_id,
                "project_dim": tiny.WIDTH,
                **changes,
            }
        )
        # The usual initial values are so small that all prompts would be alike.
        torch.nn.init.normal_(model.get_input_embeddings().weight)
        return model

    def encoder(**changes: Any) -> RobertaSeriesModelWithTransformation:
        key = tuple(sorted(changes.items()))
        if key not in made:
            made[key] = tiny.seeded(lambda: build(changes))
        return made[key]

    return encoder


@pytest.fixture(scope="session")
def networks() -> dict[str, Any]:
    return {
        "vae": tiny.seeded(lambda: AutoencoderKL(**tiny.VAE)),
        "unet": tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1),
    }


@pytest.fixture
def build(
    networks: dict[str, Any],
    text_encoders: Callable[..., Any],
    tokenizer: XLMRobertaTokenizer,
) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        scheduler = PNDMScheduler(**tiny.BETAS, skip_prk_steps=True, steps_offset=1)
        components = {
            **networks,
            "text_encoder": text_encoders(),
            "tokenizer": tokenizer,
            "scheduler": scheduler,
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        pipe: Any = kind(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
