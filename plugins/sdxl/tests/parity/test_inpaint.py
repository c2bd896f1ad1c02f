"""Inpainting against diffusers, seed for seed, with every parameter of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import mask, picture, tensor

from autopipe import StableDiffusionXLInpaintPipeline as Pipe

pytestmark = pytest.mark.parity

CHANNELS = pytest.mark.parametrize("channels", [4, 9])
LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def paint(
    compare: Callable[..., Any],
    unets: Callable[..., Any],
    refiner: dict[str, Any],
    scheduler: Callable[..., Any],
) -> Callable[..., Any]:
    """`compare` with a picture, a mask, and a U-Net of so many channels."""

    def run(
        channels: int = 4, *, name: str | None = None, refined: bool = False, **call: Any
    ) -> Any:
        components = dict(refiner) if refined else {}
        components["unet"] = unets(in_channels=channels, refiner=refined)
        if name:
            components["scheduler"] = scheduler(name)
        call = {"image": picture(), "mask_image": mask(), **call}
        return compare(Pipe, components=components, **call)

    return run


@CHANNELS
@pytest.mark.parametrize(
    "name",
    [
        "DDIMScheduler",
        "DPMSolverMultistepScheduler",
        "EulerAncestralDiscreteScheduler",
        "HeunDiscreteScheduler",
        "LCMScheduler",
        "UniPCMultistepScheduler",
    ],
)
def test_schedulers(paint: Callable[..., Any], channels: int, name: str) -> None:
    paint(channels, name=name, num_inference_steps=4)


@CHANNELS
@pytest.mark.parametrize(
    "call",
    [
        {"strength": 0.5},
        {"strength": 1.0},
        {"prompt_2": "a red dog", "negative_prompt": "dog", "negative_prompt_2": "cat"},
        {"num_images_per_prompt": 2},
        {"prompt": ["a", "b"], "strength": 0.7},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"num_images_per_prompt": 2, "seed": [1, 2], "strength": 1.0},
        {"seed": [4], "strength": 0.7},
        {"seed": None},
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.5},
        {"clip_skip": 1},
        {"prompt": ["a", "b"], "image": [picture(), picture(seed=3)]},
        {
            "prompt": ["a", "b"],
            "image": [picture(), picture(seed=3)],
            "mask_image": [mask(), mask()],
            "seed": [3, 4],
        },
        {"height": 24, "width": 16},
        {"height": 8},
        {"image": picture(20, 28), "mask_image": mask(24, 12)},
        {"image": tensor(picture()), "mask_image": tensor(mask())},
        {"original_size": (64, 32), "crops_coords_top_left": (4, 9), "target_size": (9, 8)},
        {"negative_original_size": (8, 9), "negative_target_size": (80, 9)},
        {"latents": LATENTS[:1], "strength": 0.6},
        {"latents": LATENTS[:1], "strength": 1.0},
        {"masked_image_latents": LATENTS[:1]},
        {"image": LATENTS[:1], "masked_image_latents": LATENTS[1:], "strength": 0.6},
        {"timesteps": [900, 600, 300, 50], "strength": 0.5},
        {"denoising_start": 0.4, "image": LATENTS[:1], "masked_image_latents": LATENTS[1:]},
        {"denoising_start": 0.4},
        {"denoising_end": 0.6, "num_inference_steps": 6},
        {"denoising_start": 0.2, "denoising_end": 0.6, "num_inference_steps": 6},
        {"output_type": "pt"},
        {"output_type": "latent"},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(paint: Callable[..., Any], channels: int, call: dict[str, Any]) -> None:
    paint(channels, **call)


@CHANNELS
def test_refiners(paint: Callable[..., Any], channels: int) -> None:
    plain = paint(channels, refined=True)
    scored = paint(channels, refined=True, aesthetic_score=1.0, negative_aesthetic_score=9.0)
    assert np.abs(scored - plain).max() > 1e-3


@CHANNELS
@pytest.mark.parametrize("size", [(16, 16), (36, 28)])
@pytest.mark.parametrize("pad", [0, 12])
def test_padding_mask_crop(
    paint: Callable[..., Any], channels: int, size: tuple[int, int], pad: int
) -> None:
    paint(
        channels,
        image=picture(*size),
        mask_image=mask(*size),
        padding_mask_crop=pad,
        output_type="pil",
        # Bytes: a difference far below the tolerance can fall on either side of a half.
        tolerance=1 / 255 + 1e-6,
    )


@CHANNELS
def test_noise_inside_steps(paint: Callable[..., Any], channels: int) -> None:
    """What is drawn for a masked image that is not used still shifts what steps draw."""
    paint(channels, name="DDIMScheduler", eta=0.7, strength=0.7, num_inference_steps=5)
    paint(channels, name="DDPMScheduler", num_images_per_prompt=2, seed=[1, 2])


@CHANNELS
def test_callbacks_change_tensors(paint: Callable[..., Any], channels: int) -> None:
    names = ["latents", "prompt_embeds", "add_text_embeds", "add_time_ids", "mask",
             "masked_image_latents"]  # fmt: skip

    def shrink(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert list(tensors) == names
        return {name: value * 0.9 for name, value in tensors.items()}

    paint(channels, callback_on_step_end=shrink, callback_on_step_end_tensor_inputs=names)


def test_strength_of_the_default_mixes_the_image_in(paint: Callable[..., Any]) -> None:
    assert np.abs(paint(4) - paint(4, strength=1.0)).max() > 1e-3


def test_mask_and_image_matter(paint: Callable[..., Any]) -> None:
    """What the comparisons above compare is not all the same picture."""
    inverted = {"mask_image": tensor(mask()).lt(0.5).float(), "image": tensor(picture())}
    for channels in (4, 9):
        plain = paint(channels)
        for call in (inverted, {"image": picture(seed=1)}):
            assert np.abs(paint(channels, **call) - plain).max() > 1e-3
