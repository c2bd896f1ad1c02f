"""The safety checker against that of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.public import CHECKPOINTS
from torch.nn.functional import normalize
from transformers import CLIPConfig

from autopipe import StableDiffusionSafetyChecker

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", ["stable-diffusion-v1-5", "stable-diffusion-inpainting"])
def test_names_and_shapes_of_real_checkpoints(name: str) -> None:
    from diffusers.pipelines.stable_diffusion import safety_checker

    config = CLIPConfig.from_pretrained(CHECKPOINTS / name / "safety_checker")
    with torch.device("meta"):
        ours = StableDiffusionSafetyChecker(config).state_dict()
        theirs = safety_checker.StableDiffusionSafetyChecker(config).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("seed", range(3))
def test_flags(checkers: Callable[[float], Any], seed: int) -> None:
    """With thresholds about the closest image of each concept, so that every rule decides some."""
    from diffusers.pipelines.stable_diffusion import safety_checker

    ours = checkers(0.0)
    generator = torch.Generator().manual_seed(seed)
    seen = torch.randn(16, 3, 16, 16, generator=generator)
    with torch.no_grad():
        embeds = normalize(ours.visual_projection(ours.vision_model(seen).pooler_output))
    for name in ("concept_embeds", "special_care_embeds"):
        closest = (embeds @ normalize(getattr(ours, name)).T).max(dim=0).values
        above = 0.013 * torch.rand(len(closest), generator=generator) - 0.003
        getattr(ours, f"{name}_weights").data = closest + above
    theirs = safety_checker.StableDiffusionSafetyChecker(
        CLIPConfig.from_dict(ours.config.to_dict())
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(16, 3, 4, 4, generator=generator)
    found, flags = ours(clip_input=seen, images=images.clone())
    expected, expected_flags = theirs(clip_input=seen, images=images.clone())
    assert flags == expected_flags
    assert torch.equal(found, expected)
    assert 0 < sum(flags) < 16
