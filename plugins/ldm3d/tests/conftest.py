"""An LDM3D small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import tiny
from transformers import CLIPTextModel, CLIPTokenizer

from autopipe import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionLDM3DPipeline,
    UNet2DConditionModel,
)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def vaes() -> Callable[[int], AutoencoderKL]:
    """Makes an autoencoder with a number of channels, each of a kind once."""
    made: dict[int, AutoencoderKL] = {}

    def vae(channels: int) -> AutoencoderKL:
        if channels not in made:
            config = {**tiny.VAE, "in_channels": channels, "out_channels": channels}
            made[channels] = tiny.seeded(lambda: AutoencoderKL(**config))
        return made[channels]

    return vae


@pytest.fixture(scope="session")
def components(tokenizer: CLIPTokenizer, vaes: Callable[[int], Any]) -> dict[str, Any]:
    return {
        "vae": vaes(6),
        "text_encoder": tiny.make_text_encoder(CLIPTextModel, tokenizer),
        "tokenizer": tokenizer,
        "unet": tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1),
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    }


@pytest.fixture
def build(components: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(
        kind: type[StableDiffusionLDM3DPipeline] = StableDiffusionLDM3DPipeline, **changes: Any
    ) -> Any:
        scheduler = PNDMScheduler(**tiny.BETAS, skip_prk_steps=True, steps_offset=1)
        pipe: Any = kind(**{**components, "scheduler": scheduler, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
