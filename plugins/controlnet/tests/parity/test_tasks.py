"""All tasks of both families with a ControlNet against the reference, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.callbacks import replacing

import autopipe
from autopipe import MultiControlNetModel

from ..conftest import SDXL, installed, picture

pytestmark = pytest.mark.parity

FAMILIES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}
TASKS = {"text2image": "", "image2image": "Img2Img", "inpaint": "Inpaint"}


def mask(width: int = 16, height: int = 16) -> Image.Image:
    found = Image.new("L", (width, height))
    found.paste(255, (width // 4, height // 4, width // 2, height))
    return found


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)[None]


class Kind:
    """A family and a task: its class, and what its call needs."""

    def __init__(self, family: str, task: str) -> None:
        self.family, self.task = family, task
        self.extra = SDXL if family == "sdxl" else {}

    @property
    def cls(self) -> Any:
        return getattr(autopipe, f"{FAMILIES[self.family]}ControlNet{TASKS[self.task]}Pipeline")

    def images(self, control: Any, **size: int) -> dict[str, Any]:
        if self.task == "text2image":
            return {"image": control}
        given = {"image": picture(9, **size), "control_image": control}
        return given if self.task == "image2image" else {**given, "mask_image": mask(**size)}


@pytest.fixture(params=[(f, t) for f in FAMILIES for t in TASKS], ids="-".join)
def kind(request: pytest.FixtureRequest) -> Kind:
    family, task = request.param
    if not installed(family):
        pytest.skip(f"the family {family} is not installed")
    return Kind(family, task)


Compare = Callable[..., np.ndarray]


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"controlnet_conditioning_scale": 0.0},
        {"controlnet_conditioning_scale": 1.7},
        {"guess_mode": True},
        {"guess_mode": True, "guidance_scale": 1.0},
        {"guidance_scale": 1.0},
        {"control_guidance_start": 0.3, "control_guidance_end": 0.8, "num_inference_steps": 5},
        {"control_guidance_end": 0.5, "guess_mode": True, "num_inference_steps": 4},
        {"prompts": 2, "num_images_per_prompt": 2},
        {"prompts": 2, "seed": [3, 4]},
        {"num_images_per_prompt": 2, "seed": [3, 4], "guess_mode": True},
        {"output_type": "latent"},
        {"clip_skip": None, "eta": 0.5},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_calls(compare: Compare, kind: Kind, call: dict[str, Any]) -> None:
    compare(kind.cls, **kind.images(picture(1)), **call)


def test_control_changes_the_image(compare: Compare, kind: Kind) -> None:
    """What the comparisons compare is not all the same picture."""
    plain = compare(kind.cls, **kind.images(picture(1)))
    for call in (
        {"controlnet_conditioning_scale": 0.0},
        {"guess_mode": True},
        {"control_guidance_end": 0.4},
    ):
        changed = compare(kind.cls, **kind.images(picture(1)), **call)
        # Twice what a comparison allows; random networks see little of an image.
        assert np.abs(changed - plain).max() > 2e-4, call


def test_each_prompt_has_its_image(compare: Compare, kind: Kind) -> None:
    pictures = [picture(1), picture(2)]
    compare(kind.cls, **kind.images(pictures), prompts=2, num_images_per_prompt=2)


@pytest.mark.parametrize("form", ["pil", "array", "tensor", "arrays", "tensors"])
def test_forms(compare: Compare, kind: Kind, form: str) -> None:
    given = picture(1)
    one = tensor(given)
    control = {
        "pil": given,
        "array": np.asarray(given, dtype=np.float32)[None] / 255,
        "tensor": one,
        "arrays": [np.asarray(given, dtype=np.float32) / 255],
        "tensors": [one[0]],
    }[form]
    compare(kind.cls, **kind.images(control))


def test_sizes(compare: Compare, kind: Kind) -> None:
    compare(kind.cls, **kind.images(picture(1, 24, 32), width=24, height=32))
    compare(kind.cls, **kind.images(picture(1, 50, 31), width=50, height=31), height=24, width=16)
    if kind.task != "text2image":
        compare(kind.cls, **kind.images(picture(1, 19, 21), width=19, height=21))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"controlnet_conditioning_scale": [0.5, 1.2]},
        {"control_guidance_start": [0.0, 0.3], "control_guidance_end": [0.7, 1.0]},
        {"control_guidance_end": [0.5, 1.0], "guess_mode": True},
        {"prompts": 2},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_two_controlnets(
    compare: Compare, kind: Kind, controlnets: Any, call: dict[str, Any]
) -> None:
    nets = [controlnets(seed=n, **kind.extra) for n in (2, 3)]
    several = {"controlnet": MultiControlNetModel(nets)}
    images = kind.images([picture(1), picture(2)])
    compare(kind.cls, components=several, **images, **call)


def test_global_pooling(compare: Compare, kind: Kind, controlnets: Any) -> None:
    pooled = {"controlnet": controlnets(global_pool_conditions=True, **kind.extra)}
    compare(kind.cls, components=pooled, **kind.images(picture(1)))


@pytest.mark.parametrize(
    "name",
    ["PNDMScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "DDPMScheduler"],
)
def test_schedulers(compare: Compare, kind: Kind, name: str) -> None:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    given = {"scheduler": getattr(autopipe, name)(**betas)}
    window = {"control_guidance_start": 0.2, "control_guidance_end": 0.9}
    images = kind.images(picture(1))
    compare(kind.cls, components=given, **images, num_inference_steps=5, **window)


def test_callbacks_change_tensors(compare: Compare, kind: Kind) -> None:
    """All but what the reference shows and then doesn't read."""
    unread = {*kind.cls.negative_halves, "mask", "masked_image_latents"}
    if "XLControlNetInpaint" in kind.cls.__name__:
        unread |= {"add_text_embeds", "add_time_ids"}
    for name in set(kind.cls._callback_tensor_inputs) - unread:
        images = kind.images(picture(1))
        compare(kind.cls, **images, **replacing(name, lambda old: old * 0.9))


@pytest.mark.parametrize("strength", [0.4, 0.8, 1.0])
def test_strength(compare: Compare, kind: Kind, strength: float) -> None:
    if kind.task == "text2image":
        pytest.skip("text to image has no strength")
    images = kind.images(picture(1))
    compare(kind.cls, **images, strength=strength, num_inference_steps=6, guess_mode=True)


@pytest.mark.parametrize("channels", [4, 9])
def test_repainting_around_the_mask(
    compare: Compare, kind: Kind, unets: Any, channels: int
) -> None:
    if kind.task != "inpaint":
        pytest.skip("only inpainting has a mask")
    compare(
        kind.cls,
        components={"unet": unets(in_channels=channels, **kind.extra)},
        **kind.images(picture(1, 40, 32), width=40, height=32),
        padding_mask_crop=4,
        output_type="pil",
        # Bytes: a difference far below the tolerance can fall on either side of a half.
        tolerance=1 / 255 + 1e-6,
    )


@pytest.mark.parametrize("strength", [0.7, 1.0])
def test_nine_channels(compare: Compare, kind: Kind, unets: Any, strength: float) -> None:
    if kind.task != "inpaint":
        pytest.skip("only inpainting has a mask")
    unet = unets(in_channels=9, **kind.extra)
    images = kind.images(picture(1))
    compare(kind.cls, components={"unet": unet}, **images, strength=strength)


def test_latents(compare: Compare, kind: Kind) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    compare(kind.cls, **kind.images(picture(1)), latents=latents)


def test_a_list_for_each_prompt(compare: Compare, kind: Kind, controlnets: Any) -> None:
    if kind.task != "text2image" or kind.family != "stable_diffusion":
        pytest.skip("the reference takes nested lists in one class only")
    nets = [controlnets(seed=n) for n in (2, 3)]
    several = {"controlnet": MultiControlNetModel(nets)}
    images = [[picture(1), picture(2)], [picture(3), picture(4)]]
    compare(kind.cls, components=several, image=images, prompts=2)
