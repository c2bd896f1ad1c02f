"""Inpainting against diffusers, seed for seed, with every parameter of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import mask, picture, tensor

from autopipe import StableDiffusionInpaintPipeline as Pipe

pytestmark = pytest.mark.parity

CHANNELS = pytest.mark.parametrize("channels", [4, 9])


@pytest.fixture
def paint(compare: Callable[..., Any], unets: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` with a picture, a mask, and a U-Net of so many channels."""

    def run(channels: int = 4, *, scheduler: Any = None, **call: Any) -> Any:
        components = {"unet": unets(in_channels=channels, out_channels=4)}
        if scheduler is not None:
            components["scheduler"] = scheduler
        call = {"image": picture(), "mask_image": mask(), **call}
        return compare(Pipe, components=components, **call)

    return run


@CHANNELS
def test_every_scheduler(paint: Callable[..., Any], channels: int, any_scheduler: Any) -> None:
    paint(channels, scheduler=any_scheduler, num_inference_steps=4)


@CHANNELS
@pytest.mark.parametrize("strength", [0.5, 0.99, 1.0])
@pytest.mark.parametrize("name", ["PNDMScheduler", "HeunDiscreteScheduler"])
def test_strength(
    paint: Callable[..., Any],
    scheduler: Callable[..., Any],
    channels: int,
    strength: float,
    name: str,
) -> None:
    paint(channels, strength=strength, scheduler=scheduler(name), num_inference_steps=4)


@CHANNELS
@pytest.mark.parametrize(
    "call",
    [
        {"num_images_per_prompt": 2},
        {"prompt": ["a", "b"], "strength": 0.7},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"num_images_per_prompt": 2, "seed": [1, 2], "strength": 0.7},
        {"seed": [4], "strength": 0.7},
        {"seed": None},
        {"guidance_scale": 1.0},
        {"negative_prompt": "a red dog"},
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
        {"image": tensor(picture())[0], "mask_image": tensor(mask())[0]},
        {"image": np.asarray(picture()) / np.float32(255), "mask_image": tensor(mask())[0, 0]},
        {"image": picture(), "mask_image": np.asarray(mask()) / np.float32(255)},
        {"output_type": "pt"},
        {"output_type": "latent"},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(paint: Callable[..., Any], channels: int, call: dict[str, Any]) -> None:
    paint(channels, **call)


@CHANNELS
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_latents(paint: Callable[..., Any], channels: int, strength: float) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    paint(channels, latents=latents, strength=strength)


def test_images_given_as_latents(paint: Callable[..., Any]) -> None:
    latents = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    for strength in (0.6, 1.0):
        paint(4, image=latents[0], masked_image_latents=latents[1], strength=strength)
        paint(9, image=latents[0], masked_image_latents=latents[1], strength=strength)


def test_masked_image_latents(paint: Callable[..., Any]) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    plain = paint(9)
    assert np.abs(paint(9, masked_image_latents=latents) - plain).max() > 0.01
    paint(4, masked_image_latents=latents)


@CHANNELS
@pytest.mark.parametrize("size", [(16, 16), (36, 28)])
@pytest.mark.parametrize("pad", [0, 2, 12])
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
def test_noise_inside_steps(
    paint: Callable[..., Any], scheduler: Callable[..., Any], channels: int
) -> None:
    """What is drawn for a masked image that is not used still shifts what steps draw."""
    paint(
        channels, scheduler=scheduler("DDIMScheduler"), eta=0.7, strength=0.7, num_inference_steps=5
    )
    paint(channels, scheduler=scheduler("DDPMScheduler"), num_images_per_prompt=2, seed=[1, 2])


@CHANNELS
def test_callbacks_change_tensors(paint: Callable[..., Any], channels: int) -> None:
    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert tensors["mask"].shape == (2, 1, 8, 8)
        assert tensors["masked_image_latents"].shape == (2, 4, 8, 8)
        return {name: value * 0.9 for name, value in tensors.items()}

    names = ["latents", "prompt_embeds", "negative_prompt_embeds", "mask", "masked_image_latents"]
    paint(channels, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names)


@CHANNELS
def test_own_timesteps(
    paint: Callable[..., Any], scheduler: Callable[..., Any], channels: int
) -> None:
    timesteps = [900, 600, 300, 50]
    paint(
        channels, scheduler=scheduler("EulerDiscreteScheduler"), timesteps=timesteps, strength=0.5
    )


def test_mask_and_image_matter(paint: Callable[..., Any]) -> None:
    """What the comparisons above compare is not all the same picture."""
    inverted = {"mask_image": tensor(mask()).lt(0.5).float(), "image": tensor(picture())}
    for channels in (4, 9):
        plain = paint(channels)
        for call in (inverted, {"image": picture(seed=1)}):
            # Ten times what a comparison allows; random networks see little of an image.
            assert np.abs(paint(channels, **call) - plain).max() > 1e-3
