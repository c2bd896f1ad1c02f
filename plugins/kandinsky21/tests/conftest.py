"""A Kandinsky 2.1 small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.image_embeddings import (
    DIM,
    SCHEDULE,
    idle,  # noqa: F401
    make_unet,
    movq,  # noqa: F401
    prior_components,  # noqa: F401
)
from support.tiny import seeded
from transformers import XLMRobertaTokenizer

from autopipe import DDIMScheduler, MultilingualCLIP
from autopipe.pipeline.base import DiffusionPipeline

STATES = 24
"""Of the hidden states of the text encoder."""


@pytest.fixture(scope="session")
def tokenizer() -> XLMRobertaTokenizer:
    """Knows the letters, at the start of a word and inside."""
    letters = [("▁" + one, -2.0) for one in string.ascii_lowercase]
    letters += [(one, -3.0) for one in string.ascii_lowercase]
    special = [(one, 0.0) for one in ("<s>", "<pad>", "</s>", "<unk>")]
    return XLMRobertaTokenizer(
        vocab=[*special, *letters, ("▁", -4.0), ("<mask>", 0.0)], model_max_length=77
    )


@pytest.fixture(scope="session")
def text_encoder(tokenizer: XLMRobertaTokenizer) -> MultilingualCLIP:
    entries = {
        "transformerDimSize": STATES,
        "imageDimSize": DIM,
        "vocab_size": len(tokenizer),
        "hidden_size": STATES,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 80,
        "pad_token_id": tokenizer.pad_token_id,
    }

    def make() -> MultilingualCLIP:
        model = MultilingualCLIP(**entries)
        # The usual initial values are so small that all prompts would be alike.
        torch.nn.init.normal_(model.transformer.get_input_embeddings().weight)
        return model

    return seeded(make)


@pytest.fixture(scope="session")
def unets() -> Callable[[str], Any]:
    """The U-Net for the pipeline of a name, each of a kind once."""
    made: dict[int, Any] = {}

    def unet(pipeline: str) -> Any:
        channels = 9 if "Inpaint" in pipeline else 4
        if channels not in made:
            made[channels] = make_unet(
                in_channels=channels,
                encoder_hid_dim=STATES,
                encoder_hid_dim_type="text_image_proj",
                addition_embed_type="text_image",
            )
        return made[channels]

    return unet


@pytest.fixture
def build(
    prior_components: dict[str, Any],  # noqa: F811
    movq: Any,  # noqa: F811
    unets: Callable[[str], Any],
    text_encoder: MultilingualCLIP,
    tokenizer: XLMRobertaTokenizer,
) -> Callable[..., DiffusionPipeline]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **components: Any) -> DiffusionPipeline:
        names = kind.module_names()
        parts = dict(prior_components)
        if "unet" in names:
            parts = {
                **{f"prior_{name}": one for name, one in prior_components.items()},
                "text_encoder": text_encoder,
                "tokenizer": tokenizer,
                "unet": unets(kind.__name__),
                "scheduler": DDIMScheduler(**SCHEDULE, set_alpha_to_one=False, steps_offset=1),
                "movq": movq,
            }
        pipe = kind(**{name: {**parts, **components}[name] for name in names})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"
