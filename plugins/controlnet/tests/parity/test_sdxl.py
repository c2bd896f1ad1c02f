"""What only Stable Diffusion XL has, together with a ControlNet, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autopipe

from ..conftest import POOLED, needs, picture

pytestmark = [pytest.mark.parity, needs("sdxl")]

Compare = Callable[..., np.ndarray]

TASKS = ("", "Img2Img", "Inpaint")
SIZES = {"original_size": (40, 24), "crops_coords_top_left": (3, 5), "target_size": (16, 32)}
NEGATIVE = {
    "negative_original_size": (8, 9),
    "negative_crops_coords_top_left": (1, 2),
    "negative_target_size": (30, 20),
}


def cls(task: str) -> Any:
    return getattr(autopipe, f"StableDiffusionXLControlNet{task}Pipeline")


def images(task: str) -> dict[str, Any]:
    if not task:
        return {"image": picture(1)}
    given: dict[str, Any] = {"image": picture(2), "control_image": picture(1)}
    if task == "Inpaint":
        given["mask_image"] = Image.new("L", (16, 16))
        given["mask_image"].paste(255, (4, 4, 12, 16))
    return given


@pytest.mark.parametrize("guess_mode", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_sizes(compare: Compare, task: str, guess_mode: bool) -> None:
    plain = compare(cls(task), **images(task), guess_mode=guess_mode)
    negative = {} if task == "Inpaint" else NEGATIVE
    told = compare(cls(task), **images(task), guess_mode=guess_mode, **SIZES, **negative)
    assert np.abs(told - plain).max() > 2e-4


@pytest.mark.parametrize("task", ["Img2Img", "Inpaint"])
def test_refiners(compare: Compare, unets: Any, controlnets: Any, task: str) -> None:
    told = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": POOLED + 5 * 4,
    }
    components = {
        "unet": unets(**told),
        "controlnet": controlnets(**told),
        "requires_aesthetics_score": True,
    }
    sizes = {**SIZES, "aesthetic_score": 7.5, "negative_aesthetic_score": 1.0}
    compare(cls(task), components=components, **images(task), **sizes)


@pytest.mark.parametrize("scheduler", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
@pytest.mark.parametrize("task", ["", "Inpaint"])
def test_parts_of_the_steps_when_another_model_goes_on(
    compare: Compare, task: str, scheduler: str
) -> None:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    components = {"scheduler": getattr(autopipe, scheduler)(**betas)}
    call = {"num_inference_steps": 10, "output_type": "latent", **images(task)}
    for window in ({}, {"control_guidance_start": 0.2, "control_guidance_end": 0.5}):
        compare(cls(task), components=components, denoising_end=0.6, **call, **window)
    if task == "Inpaint":
        window = {"control_guidance_start": 0.3, "control_guidance_end": 0.8}
        parts = {"denoising_start": 0.4, "denoising_end": 0.8}
        compare(cls(task), components=components, **parts, **call, **window)


def test_rescaled_guidance(compare: Compare) -> None:
    compare(cls("Inpaint"), **images("Inpaint"), guidance_rescale=0.7)


@pytest.mark.parametrize("task", TASKS)
def test_callbacks_are_shown_all_halves(compare: Compare, task: str) -> None:
    shapes: list[Any] = []

    def note(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        shapes.append({name: tuple(one.shape) for name, one in tensors.items()})
        return {}

    negative_ids = "add_neg_time_ids" if task else "negative_add_time_ids"
    names = ["latents", "prompt_embeds", "negative_prompt_embeds", "add_text_embeds"]
    names += ["negative_pooled_prompt_embeds", "add_time_ids", negative_ids]
    names += ["control_image" if task else "image"]
    compare(
        cls(task),
        **images(task),
        callback_on_step_end=note,
        callback_on_step_end_tensor_inputs=names,
    )
    half = len(shapes) // 2
    assert half
    assert shapes[:half] == shapes[half:]
