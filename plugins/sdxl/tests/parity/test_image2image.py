"""Image to image and the chain of base and refiner against diffusers, seed for seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.parity import TOLERANCE, generators
from support.pictures import picture, tensor

from autopipe import PNDMScheduler, StableDiffusionXLPipeline
from autopipe import StableDiffusionXLImg2ImgPipeline as Pipe

pytestmark = pytest.mark.parity


LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def change(compare: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` with a picture and a strength that leaves steps."""

    def run(prompt: Any = "a cat", **call: Any) -> Any:
        return compare(Pipe, prompt, **{"image": picture(), "strength": 0.7, **call})

    return run


def test_every_scheduler(change: Callable[..., Any], any_scheduler: Any) -> None:
    if type(any_scheduler) is PNDMScheduler:
        # A tail of its warm-up is nothing that the reference can walk.
        any_scheduler = PNDMScheduler.from_config(any_scheduler.config, skip_prk_steps=True)
    change(num_inference_steps=5, components={"scheduler": any_scheduler})


@pytest.mark.parametrize(
    "call",
    [
        {"strength": 0.34},
        {"strength": 1.0},
        {"prompt_2": "a red dog", "negative_prompt": "dog", "negative_prompt_2": "cat"},
        {"prompt": ["a", "b"]},
        {"prompt": ["a", "b"], "image": [picture(), picture(seed=3)]},
        {"prompt": ["a", "b"], "image": [picture(), picture(seed=3)], "num_images_per_prompt": 2},
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"seed": [4]},
        {"seed": None},
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.5},
        {"clip_skip": 1},
        {"image": picture(20, 28)},
        {"image": tensor(picture())},
        {"image": np.asarray(picture())[None] / np.float32(255)},
        {"image": LATENTS[:1]},
        {"latents": LATENTS[:1]},
        {"latents": LATENTS, "num_images_per_prompt": 2, "image": picture(24, 24)},
        {"original_size": (64, 32), "crops_coords_top_left": (4, 9), "target_size": (9, 8)},
        {"negative_original_size": (8, 9), "num_images_per_prompt": 2},
        {"negative_target_size": (8, 9), "negative_crops_coords_top_left": (3, 4)},
        {"aesthetic_score": 1.0},
        {"timesteps": [900, 600, 300, 50]},
        {"sigmas": [12.0, 5.0, 1.0, 0.2]},
        {"denoising_start": 0.5, "image": LATENTS[:1]},
        {"denoising_start": 0.5, "strength": 0.0},
        {"denoising_start": 0.3, "denoising_end": 0.7, "num_inference_steps": 6},
        {"denoising_end": 0.6, "num_inference_steps": 6},
        {"denoising_end": 0.1, "strength": 0.5},
        {"output_type": "pt"},
        {"output_type": "latent"},
    ],
    ids=lambda call: ",".join(call),
)
@pytest.mark.parametrize("refined", [False, True], ids=["base", "refiner"])
def test_parameters(
    change: Callable[..., Any], refiner: dict[str, Any], refined: bool, call: dict[str, Any]
) -> None:
    change(**call, components=refiner if refined else {})


def test_parameters_change_the_image(change: Callable[..., Any], refiner: dict[str, Any]) -> None:
    """What the comparisons above compare is not all the same picture."""
    for components, calls in (
        ({}, ({"target_size": (90, 80)}, {"negative_original_size": (80, 9)}, {"strength": 1.0})),
        (
            refiner,
            (
                {"aesthetic_score": 1.0},
                {"negative_aesthetic_score": 9.0},
                {"negative_crops_coords_top_left": (3, 4)},
                {"prompt": "a red dog"},
            ),
        ),
    ):
        plain = change(components=components)
        for call in calls:
            found = change(components=components, **call)
            assert np.abs(found - plain).max() > 1e-3, call


def test_parameters_that_do_not_change_the_image(
    change: Callable[..., Any], refiner: dict[str, Any]
) -> None:
    plain = change()
    assert np.array_equal(change(aesthetic_score=1.0), plain)
    assert np.array_equal(change(negative_crops_coords_top_left=(3, 4)), plain)
    plain = change(components=refiner)
    assert np.array_equal(change(components=refiner, target_size=(90, 80)), plain)
    assert np.array_equal(change(components=refiner, prompt_2="a red dog"), plain)


@pytest.mark.parametrize(
    "name",
    [
        "DDIMScheduler",
        "DPMSolverMultistepScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
    ],
)
@pytest.mark.parametrize("fraction", [0.4, 0.8])
def test_base_and_refiner_share_a_schedule(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    refiner: dict[str, Any],
    record: Callable[..., float],
    scheduler: Callable[..., Any],
    name: str,
    fraction: float,
) -> None:
    given = scheduler(name, timestep_spacing="leading")
    first = build(StableDiffusionXLPipeline, scheduler=given)
    second = build(Pipe, **refiner, scheduler=given)

    def chain(base: Any, refiner: Any) -> Any:
        call = {"prompt": ["a cat", "a dog"], "num_inference_steps": 6}
        latents = base(
            **call, denoising_end=fraction, output_type="latent", generator=generators(0)
        ).images
        return refiner(
            **call, denoising_start=fraction, image=latents, output_type="np",
            generator=generators(1),
        ).images  # fmt: skip

    found = chain(first, second)
    assert record("base + refiner", found, chain(reference(first), reference(second))) <= TOLERANCE


def test_a_schedule_that_leaves_nothing_to_the_refiner(change: Callable[..., Any]) -> None:
    """The latents are decoded as they are."""
    change(image=LATENTS[:1], denoising_start=0.999, num_inference_steps=2)


def test_latents_with_statistics(change: Callable[..., Any], vae: Any) -> None:
    told = copy.deepcopy(vae)
    told.register_to_config(latents_mean=(0.1, -0.2, 0.3, 0.4), latents_std=(0.5, 2.0, 1.5, 0.7))
    plain = change()
    assert np.abs(change(components={"vae": told}) - plain).max() > 1e-3


def test_embeddings(change: Callable[..., Any]) -> None:
    source = torch.Generator().manual_seed(1)
    embeds = {
        "prompt_embeds": torch.randn(1, 12, 32, generator=source),
        "negative_prompt_embeds": torch.randn(1, 12, 32, generator=source),
        "pooled_prompt_embeds": torch.randn(1, 10, generator=source),
        "negative_pooled_prompt_embeds": torch.randn(1, 10, generator=source),
    }
    change(None, **embeds)


def test_noise_inside_steps(change: Callable[..., Any], scheduler: Callable[..., Any]) -> None:
    ddim = {"scheduler": scheduler("DDIMScheduler")}
    change(eta=0.7, components=ddim, num_inference_steps=5)
    change(eta=0.7, components=ddim, num_images_per_prompt=2, seed=[1, 2])


def test_callbacks_change_tensors(change: Callable[..., Any]) -> None:
    def shrink(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: value * 0.9 for name, value in tensors.items()}

    names = ["latents", "prompt_embeds", "add_text_embeds", "add_time_ids"]
    change(callback_on_step_end=shrink, callback_on_step_end_tensor_inputs=names)
