"""What every family promises, checked for this one on the lines that are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny import make_text_encoder, make_tokenizer
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import autopipe
from autopipe.manifest import Pipeline
from autopipe_devkit.conformance import Conformance

from .conftest import POOLED, WIDTH, installed

SAMPLES = {
    "adapter_conditioning_scale": (1.0, 0.3),
    "adapter_conditioning_factor": (1.0, 0.5),
}


class TestConformance(Conformance):
    family = "t2i_adapter"
    size = (16, 16)

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
        tokenizer = make_tokenizer(tmp_path)
        found = {}
        if installed("stable_diffusion"):
            found["stable_diffusion"] = build(
                autopipe.StableDiffusionAdapterPipeline,
                tokenizer=tokenizer,
                text_encoder=make_text_encoder(CLIPTextModel, tokenizer, hidden_size=WIDTH),
            )
        if installed("sdxl"):
            half = {"hidden_size": WIDTH // 2}
            second = make_text_encoder(
                CLIPTextModelWithProjection, tokenizer, seed=1, projection_dim=POOLED, **half
            )
            found["sdxl"] = build(
                autopipe.StableDiffusionXLAdapterPipeline,
                tokenizer=tokenizer,
                tokenizer_2=tokenizer,
                text_encoder=make_text_encoder(CLIPTextModel, tokenizer, **half),
                text_encoder_2=second,
            )
        return found

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return SAMPLES
