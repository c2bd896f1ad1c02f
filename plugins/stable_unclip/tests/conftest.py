"""A Stable unCLIP small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import tiny
from support.image_embeddings import DIM, idle, prior_components  # noqa: F401
from transformers import CLIPTextModel

from autopipe import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableUnCLIPImageNormalizer,
    UNet2DConditionModel,
)
from autopipe.pipeline.base import DiffusionPipeline

UNET = {
    **tiny.UNET,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 2 * DIM,
}


def make_normalizer() -> StableUnCLIPImageNormalizer:
    """Return a normalizer whose statistics matter."""
    normalizer = tiny.seeded(lambda: StableUnCLIPImageNormalizer(DIM))
    normalizer.mean.data.uniform_(-0.5, 0.5)
    normalizer.std.data.uniform_(0.5, 1.5)
    return normalizer


@pytest.fixture(scope="session")
def parts(prior_components: dict[str, Any]) -> dict[str, Any]:  # noqa: F811
    """The components, which all pipelines of the tests share."""
    tokenizer = prior_components["tokenizer"]
    return {
        "prior_tokenizer": tokenizer,
        "prior_text_encoder": prior_components["text_encoder"],
        "prior": prior_components["prior"],
        "prior_scheduler": DDPMScheduler(
            prediction_type="sample", clip_sample=True, clip_sample_range=5.0
        ),
        "feature_extractor": prior_components["image_processor"],
        "image_encoder": prior_components["image_encoder"],
        "image_normalizer": make_normalizer(),
        "image_noising_scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        "tokenizer": tokenizer,
        "text_encoder": tiny.make_text_encoder(CLIPTextModel, tokenizer),
        "unet": tiny.seeded(lambda: UNet2DConditionModel(**UNET), seed=1),
        "scheduler": DDIMScheduler(**tiny.BETAS, set_alpha_to_one=False, steps_offset=1),
        "vae": tiny.seeded(lambda: AutoencoderKL(**tiny.VAE)),
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        pipe: Any = kind(**{name: {**parts, **changes}[name] for name in kind.module_names()})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
