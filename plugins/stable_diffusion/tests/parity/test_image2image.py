"""Image to image against diffusers, seed for seed, with every parameter of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import PNDMScheduler
from autopipe import StableDiffusionImg2ImgPipeline as Pipe

pytestmark = pytest.mark.parity


def pixels(batch: int = 1, height: int = 16, width: int = 16, seed: int = 9) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((batch, height // 4, width // 4, 3))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)


def pictures(batch: int = 1, height: int = 16, width: int = 16) -> list[Image.Image]:
    return [Image.fromarray((p * 255).astype(np.uint8)) for p in pixels(batch, height, width)]


def tensors(batch: int = 1, height: int = 16, width: int = 16) -> torch.Tensor:
    return torch.from_numpy(pixels(batch, height, width)).permute(0, 3, 1, 2)


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    if type(any_scheduler) is PNDMScheduler:
        # A tail of its warm-up is nothing that the reference can walk.
        any_scheduler = PNDMScheduler.from_config(any_scheduler.config, skip_prk_steps=True)
    given = {"scheduler": any_scheduler}
    compare(Pipe, image=pictures()[0], num_inference_steps=5, strength=0.7, components=given)


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("name", ["PNDMScheduler", "HeunDiscreteScheduler"])
def test_strength(
    compare: Callable[..., Any], scheduler: Callable[..., Any], name: str, strength: float
) -> None:
    config = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    given = {"scheduler": scheduler(name, **config)}
    compare(Pipe, image=pictures()[0], num_inference_steps=4, strength=strength, components=given)


@pytest.mark.parametrize(
    "image",
    [
        pictures()[0],
        pictures(2),
        pixels(),
        pixels()[0],
        list(pixels(2)),
        tensors(),
        tensors()[0],
        list(tensors(2)),
        tensors() * 2 - 1,
        pictures(1, 20, 28)[0],
        pictures(1, 24, 16)[0].resize((27, 21)),
        tensors(1, 16, 24),
        torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3)),
    ],
    ids=[
        "pil", "pils", "array", "one array", "arrays", "tensor", "one tensor", "tensors",
        "in -1 to 1", "not square", "rounded down", "wide tensor", "latents",
    ],
)  # fmt: skip
def test_images(compare: Callable[..., Any], image: Any) -> None:
    prompt = ["a cat", "a red dog"] if isinstance(image, list) else "a cat"
    compare(Pipe, prompt, image=image)


@pytest.mark.parametrize(
    "call",
    [
        {"prompt": ["a", "b"], "image": pictures()[0]},
        {"prompt": ["a", "b"], "image": pictures(2), "num_images_per_prompt": 2},
        {"prompt": ["a", "b"], "image": pictures(2), "seed": [1, 2]},
        {"image": pictures()[0], "num_images_per_prompt": 3},
        {"image": pictures()[0], "num_images_per_prompt": 3, "seed": [1, 2, 3]},
        {"image": pictures()[0], "seed": [5]},
        {"image": pictures()[0], "seed": None},
        {"image": pictures()[0], "negative_prompt": "a red dog"},
        {"image": pictures()[0], "guidance_scale": 1.0},
        {"image": pictures()[0], "output_type": "pt"},
        {"image": pictures()[0], "output_type": "latent"},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **call)


def test_embeddings(compare: Callable[..., Any]) -> None:
    both = torch.randn(2, 2, 12, 16, generator=torch.Generator().manual_seed(2))
    embeds = {"prompt_embeds": both[0], "negative_prompt_embeds": both[1]}
    compare(Pipe, None, image=pictures()[0], **embeds)


def test_noise_inside_steps(compare: Callable[..., Any], scheduler: Callable[..., Any]) -> None:
    for name, call in (
        ("DDIMScheduler", {"eta": 0.5}),
        ("EulerAncestralDiscreteScheduler", {"seed": [1, 2], "num_images_per_prompt": 2}),
    ):
        compare(Pipe, image=pictures()[0], components={"scheduler": scheduler(name)}, **call)


def test_own_timesteps_and_sigmas(
    compare: Callable[..., Any], scheduler: Callable[..., Any]
) -> None:
    given = {"scheduler": scheduler("EulerDiscreteScheduler")}
    image = pictures()[0]
    compare(Pipe, image=image, timesteps=[900, 600, 300, 50], strength=0.5, components=given)
    compare(Pipe, image=image, sigmas=[14.6, 6.0, 2.0, 0.5, 0.0], strength=0.6, components=given)


def test_callbacks(compare: Callable[..., Any]) -> None:
    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = step == 1
        return {"latents": tensors["latents"] * 0.8}

    compare(Pipe, image=pictures()[0], num_inference_steps=5, callback_on_step_end=change)


def test_strength_and_image_matter(compare: Callable[..., Any]) -> None:
    plain = compare(Pipe, image=pictures()[0], strength=0.4)
    other = compare(Pipe, image=tensors().flip(2), strength=0.4)
    more = compare(Pipe, image=pictures()[0], strength=1.0)
    assert min(np.abs(plain - other).max(), np.abs(plain - more).max()) > 0.01
