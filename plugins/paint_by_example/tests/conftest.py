"""A Paint by Example small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import tiny
from transformers import CLIPImageProcessor

from autopipe import (
    AutoencoderKL,
    PaintByExampleImageEncoder,
    PaintByExamplePipeline,
    PNDMScheduler,
    UNet2DConditionModel,
)

ENCODER: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 9,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
    "projection_dim": tiny.WIDTH,
}


@pytest.fixture(scope="session")
def components() -> dict[str, Any]:
    def encoder() -> PaintByExampleImageEncoder:
        model = PaintByExampleImageEncoder(**ENCODER)
        # The usual initial values are so small that all examples would be alike.
        for weight in (model.model.embeddings.patch_embedding.weight, model.proj_out.weight):
            weight.data.normal_(std=0.5)
        return model

    unet = {**tiny.UNET, "in_channels": 9}
    return {
        "vae": tiny.seeded(lambda: AutoencoderKL(**tiny.VAE)),
        "image_encoder": tiny.seeded(encoder),
        "unet": tiny.seeded(lambda: UNet2DConditionModel(**unet), seed=1),
        "safety_checker": None,
        "feature_extractor": CLIPImageProcessor(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        ),
    }


@pytest.fixture
def build(components: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[PaintByExamplePipeline] = PaintByExamplePipeline, **changes: Any) -> Any:
        scheduler = PNDMScheduler(**tiny.BETAS, skip_prk_steps=True, steps_offset=1)
        pipe: Any = kind(**{**components, "scheduler": scheduler, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
