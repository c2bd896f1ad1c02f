"""Image to image against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import picture, tensor

from autopipe import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler
from autopipe import StableDiffusion3Img2ImgPipeline as Pipe

pytestmark = pytest.mark.parity

LATENTS = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def change(compare: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` with a picture, and with fewer tokens of T5."""

    def run(prompt: Any = "a cat", **call: Any) -> Any:
        call = {"image": picture(), "max_sequence_length": 6, **call}
        return compare(Pipe, prompt, **call)

    return run


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"strength": 1.0},
        # Rounded up: 4 of 5 steps, where a part of 0.6 of 5 is 3.
        {"strength": 0.61, "num_inference_steps": 5},
        {"strength": 0.3, "num_inference_steps": 4, "negative_prompt": "dog"},
        {"height": 8, "width": 12},
        {"image": picture(24, 20)},
        {"image": tensor(picture())},
        {"image": LATENTS[:1]},
        {"prompt": ["a cat", "a red dog"], "image": [picture(), picture(seed=3)], "seed": [3, 4]},
        {"num_images_per_prompt": 2, "guidance_scale": 1.0},
        {"num_images_per_prompt": 2, "latents": LATENTS},
        {"sigmas": [1.0, 0.6, 0.1], "strength": 0.7},
        {"output_type": "latent"},
        {"seed": None},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(change: Callable[..., Any], call: dict[str, Any]) -> None:
    change(**call)


def test_parameters_change_the_image(change: Callable[..., Any]) -> None:
    plain = change()
    calls: list[dict[str, Any]] = [
        {"strength": 1.0},
        {"image": picture(seed=3)},
        {"prompt": "a red dog"},
    ]
    for call in calls:
        assert np.abs(change(**call) - plain).max() > 1e-3, call


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        FlowMatchHeunDiscreteScheduler(shift=3.0),
    ],
    ids=lambda one: type(one).__name__,
)
def test_schedulers(change: Callable[..., Any], scheduler: Any) -> None:
    change(components={"scheduler": scheduler}, num_inference_steps=4)
