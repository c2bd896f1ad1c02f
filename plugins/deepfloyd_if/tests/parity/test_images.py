"""Images, masks, strengths and noise levels of every kind against diffusers, seed for seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import mask, picture, tensor

pytestmark = pytest.mark.parity

TOLERANCE = 5e-4
"""As in the comparison of the tasks."""


def signed(image: Image.Image) -> torch.Tensor:
    """(1, C, H, W) in [-1, 1]."""
    return tensor(image) * 2 - 1


def array(image: Image.Image) -> np.ndarray:
    """(H, W, C) in [-1, 1]."""
    return signed(image)[0].permute(1, 2, 0).numpy().copy()


WIDE, TALL = picture(16, 40), picture(44, 20, seed=3)
IMAGES: dict[str, Any] = {
    "larger": picture(64, 64),
    "wide": WIDE,
    "tall": TALL,
    "grey": picture().convert("L"),
    "transparent": picture().convert("RGBA"),
    "list": [picture()],
    "array": array(picture())[None],
    "list of arrays": [array(picture(24, 16))],
    "tensor": signed(picture(16, 24)),
    "list of tensors": [signed(picture())[0]],
}


@pytest.fixture
def draw(compare: Callable[..., Any]) -> Callable[..., Any]:
    def run(task: Any, prompt: Any = "a cat", **call: Any) -> Any:
        return compare(
            task.kind,
            prompt,
            tolerance=TOLERANCE,
            **{**task.call, "output_type": "np", **call},
        )

    return run


@pytest.fixture
def start(image_task: Any) -> str:
    """What each task calls the image that it starts from."""
    return "image" if image_task.stage == 1 else "original_image"


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_images_to_start_from(
    draw: Callable[..., Any], image_task: Any, start: str, image: Any
) -> None:
    call = {start: image}
    if "mask_image" in image_task.call:
        first = image[0] if isinstance(image, list) else image
        if isinstance(first, Image.Image):
            call["mask_image"] = mask(first.height, first.width)
        else:
            tall = first.shape[-2:] if isinstance(first, torch.Tensor) else first.shape[-3:-1]
            call["mask_image"] = tensor(mask(*tall))
    found = draw(image_task, **call)
    assert min(found.shape[1:3]) == 16


def test_several_images(draw: Callable[..., Any], image_task: Any, start: str) -> None:
    both = [picture(), picture(seed=3)]
    call: dict[str, Any] = {start: both}
    if image_task.stage == 2:
        call["image"] = image_task.call["image"].repeat(2, 1, 1, 1)
    draw(image_task, ["a cat", "a dog"], **call)
    call["num_images_per_prompt"] = 2
    draw(image_task, ["a cat", "a dog"], **call)
    draw(image_task, ["a cat", "a dog"], **call, seed=[1, 2, 3, 4])
    if "mask_image" in image_task.call:
        call["mask_image"] = [mask(), mask().transpose(Image.Transpose.TRANSPOSE)]
        draw(image_task, ["a cat", "a dog"], **call)


@pytest.mark.parametrize("strength", [0.34, 0.9999, 1.0])
def test_strengths(draw: Callable[..., Any], image_task: Any, strength: float) -> None:
    draw(image_task, strength=strength)
    draw(image_task, strength=strength, timesteps=[900, 600, 300, 50])


MASKS: dict[str, Any] = {
    "tensor": tensor(mask()),
    "list of tensors without channel": [tensor(mask())[0, 0]],
    "tensor without batch": tensor(mask())[0],
    "list of arrays": [tensor(mask())[0, 0].numpy()],
    "list": [mask()],
    "larger": mask(64, 64),
    "coloured": mask().convert("RGB"),
    "nothing": Image.new("L", (16, 16)),
    "everything": Image.new("L", (16, 16), 255),
}


@pytest.mark.parametrize("given", MASKS.values(), ids=MASKS)
def test_masks(draw: Callable[..., Any], mask_task: Any, given: Any) -> None:
    kept = copy.deepcopy(given)
    draw(mask_task, mask_image=given)
    assert np.array_equal(np.asarray(given), np.asarray(kept))


SMALL: dict[str, Any] = {
    "picture": picture(8, 8),
    "list": [picture(8, 12)],
    "array": array(picture(8, 8))[None],
    "list of arrays": [array(picture(8, 8))],
    "list of tensors": [signed(picture(8, 8))[0]],
    "larger": signed(picture(32, 32)),
}


@pytest.mark.parametrize("image", SMALL.values(), ids=SMALL)
def test_images_to_enlarge(draw: Callable[..., Any], second: Any, image: Any) -> None:
    draw(second, image=image)


@pytest.mark.parametrize("level", [0, 1, 250, 999])
def test_noise_levels(draw: Callable[..., Any], second: Any, level: int) -> None:
    draw(second, noise_level=level)


def test_sizes(draw: Callable[..., Any], noise_task: Any) -> None:
    for size in ({"height": 24}, {"width": 8}, {"height": 8, "width": 20}):
        found = draw(noise_task, **size)
        assert found.shape == (1, size.get("height", 16), size.get("width", 16), 3)
