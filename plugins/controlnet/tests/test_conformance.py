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

SHARED = (
    "as in diffusers, of several pictures from one image only the first generator draws for "
    "encoding it"
)
MASKED = "as in diffusers, a callback is offered them also where the network doesn't see the mask"
PREFIXES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}
EXPECTED = {
    name: reason
    for line, prefix in PREFIXES.items()
    if installed(line)
    for name, reason in (
        (f"repeats-{prefix}ControlNetInpaintPipeline", SHARED),
        (f"replacing-{prefix}ControlNetInpaintPipeline.masked_image_latents", MASKED),
    )
}
SAMPLES = {
    "controlnet_conditioning_scale": (1.0, 0.3),
    "control_guidance_start": (0.0, 0.4),
    "control_guidance_end": (1.0, 0.6),
    "guess_mode": (False, True),
}


class TestConformance(Conformance):
    family = "controlnet"
    size = (16, 16)
    expected_failures = EXPECTED

    @pytest.fixture
    def checkpoint(self, build: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
        tokenizer = make_tokenizer(tmp_path)
        found = {}
        if installed("stable_diffusion"):
            found["stable_diffusion"] = build(
                autopipe.StableDiffusionControlNetPipeline,
                tokenizer=tokenizer,
                text_encoder=make_text_encoder(CLIPTextModel, tokenizer, hidden_size=WIDTH),
            )
        if installed("sdxl"):
            half = {"hidden_size": WIDTH // 2}
            second = make_text_encoder(
                CLIPTextModelWithProjection, tokenizer, seed=1, projection_dim=POOLED, **half
            )
            found["sdxl"] = build(
                autopipe.StableDiffusionXLControlNetPipeline,
                tokenizer=tokenizer,
                tokenizer_2=tokenizer,
                text_encoder=make_text_encoder(CLIPTextModel, tokenizer, **half),
                text_encoder_2=second,
            )
        return found

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        return SAMPLES
