"""The decoders against diffusers, seed for seed, with every parameter of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.image_embeddings import SCHEDULE, embeds
from support.pictures import mask, picture, tensor

from autopipe import (
    DDIMScheduler,
    DDPMScheduler,
    KandinskyV22ControlnetImg2ImgPipeline,
    KandinskyV22ControlnetPipeline,
    KandinskyV22Img2ImgPipeline,
    KandinskyV22InpaintPipeline,
    KandinskyV22Pipeline,
)

pytestmark = pytest.mark.parity

HINT = 20 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))

KINDS: dict[Any, dict[str, Any]] = {
    KandinskyV22Pipeline: {},
    KandinskyV22Img2ImgPipeline: {"image": picture(), "strength": 0.7},
    KandinskyV22InpaintPipeline: {"image": picture(), "mask_image": mask()},
    KandinskyV22ControlnetPipeline: {"hint": HINT},
    KandinskyV22ControlnetImg2ImgPipeline: {"hint": HINT, "image": picture(), "strength": 0.7},
}
ALL = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
NEW = (KandinskyV22Pipeline, KandinskyV22Img2ImgPipeline, KandinskyV22InpaintPipeline)


@pytest.fixture
def draw(compare: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` with embeddings, and what the decoder takes besides."""

    def run(kind: Any, rows: int = 1, **call: Any) -> Any:
        given = {
            "image_embeds": embeds(rows),
            "negative_image_embeds": embeds(rows, seed=2),
            "height": 16,
            "width": 16,
            **KINDS[kind],
            **call,
        }
        return compare(kind, **given)

    return run


@ALL
@pytest.mark.parametrize(
    "call",
    [
        {},
        {
            "rows": 2,
            "seed": [1, 2],
            "image": [picture(), picture(seed=2)],
            "hint": HINT.expand(2, -1, -1, -1),
        },
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [4, 5]},
        {"seed": None},
        {"seed": [4]},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.0},
        {"guidance_scale": 9},
        {"num_inference_steps": 5},
        {"output_type": "pil"},
        {"output_type": "pt"},
        {"image_embeds": [embeds()], "negative_image_embeds": [embeds(seed=4)]},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(draw: Callable[..., Any], kind: Any, call: dict[str, Any]) -> None:
    taken = {"image", "hint"} - set(KINDS[kind])
    call = {name: value for name, value in call.items() if name not in taken}
    if kind is KandinskyV22InpaintPipeline and "image" in call:
        # The reference keeps the first image outside the mask of all; see the differences.
        call |= {"image": picture(), "rows": 1, "seed": 1}
    if call.get("output_type") == "pil":
        # Bytes: a difference far below the tolerance can fall on either side of a half.
        call["tolerance"] = 1 / 255 + 1e-6
    draw(kind, **call)


@ALL
@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
def test_variances(draw: Callable[..., Any], kind: Any, variance: str) -> None:
    scheduler = DDPMScheduler(**SCHEDULE, variance_type=variance)
    draw(kind, components={"scheduler": scheduler})
    draw(kind, components={"scheduler": scheduler}, guidance_scale=1.0)


@ALL
def test_another_scheduler(draw: Callable[..., Any], kind: Any) -> None:
    draw(kind, components={"scheduler": DDIMScheduler(**SCHEDULE)})


@pytest.mark.parametrize("size", [(16, 8), (12, 20), (18, 11)])
@pytest.mark.parametrize("kind", [KandinskyV22Pipeline, KandinskyV22InpaintPipeline])
def test_sizes(draw: Callable[..., Any], kind: Any, size: tuple[int, int]) -> None:
    height, width = size
    if kind is KandinskyV22InpaintPipeline and (height % 4 or width % 4):
        pytest.skip("the reference doesn't round the image")
    images = draw(kind, height=height, width=width)
    assert images.shape == (1, -(-height // 4) * 4, -(-width // 4) * 4, 3)


def test_images_are_rounded_down(draw: Callable[..., Any]) -> None:
    images = draw(KandinskyV22Img2ImgPipeline, height=13, width=13)
    assert images.shape == (1, 12, 12, 3)


@pytest.mark.parametrize("output_type", ["latent", "np"])
def test_latents(draw: Callable[..., Any], output_type: str) -> None:
    for kind in (KandinskyV22Pipeline, KandinskyV22InpaintPipeline):
        draw(kind, latents=LATENTS, num_images_per_prompt=2, output_type=output_type)
    draw(KandinskyV22Img2ImgPipeline, output_type=output_type)
    draw(KandinskyV22ControlnetPipeline, latents=LATENTS[:1])


@pytest.mark.parametrize("strength", [0.34, 0.7, 1.0])
def test_strength(draw: Callable[..., Any], strength: float) -> None:
    for kind in (KandinskyV22Img2ImgPipeline, KandinskyV22ControlnetImg2ImgPipeline):
        draw(kind, strength=strength)


@pytest.mark.parametrize(
    "image",
    [picture(20, 28), tensor(picture()), tensor(picture()) * 2 - 1, tensor(picture(20, 28))[0]],
)
def test_images(draw: Callable[..., Any], image: Any) -> None:
    draw(KandinskyV22Img2ImgPipeline, image=image)


@pytest.mark.parametrize(
    ("image", "mask_image"),
    [
        (picture(20, 28), mask(32, 24)),
        (picture(), np.asarray(mask(), np.float32) / 255),
        (picture(), np.asarray(mask(20, 28), np.float32) / 255),
        (np.asarray(picture()), np.asarray(mask(), np.float32) / 255),
        (tensor(picture()) * 2 - 1, tensor(mask())),
        (tensor(picture())[0], tensor(mask())[0, 0]),
        (tensor(picture()), tensor(mask())[0]),
        ([picture()], [mask()]),
    ],
)
def test_masks(draw: Callable[..., Any], image: Any, mask_image: Any) -> None:
    draw(KandinskyV22InpaintPipeline, image=image, mask_image=mask_image)


@pytest.mark.parametrize("kind", NEW, ids=lambda kind: kind.__name__)
def test_callbacks_change_tensors(draw: Callable[..., Any], kind: Any) -> None:
    names = list(kind._callback_tensor_inputs)
    seen: list[Any] = []

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert list(tensors) == names
        seen.append((step, int(timestep), pipe.num_timesteps, pipe.guidance_scale))
        # The reference reads its negative embeddings no more once the steps have begun.
        return {name: one * 0.9 for name, one in tensors.items() if "negative" not in name}

    draw(kind, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names)
    half = len(seen) // 2
    assert half > 1
    assert seen[:half] == seen[half:]


@ALL
def test_older_callbacks(draw: Callable[..., Any], kind: Any) -> None:
    seen: list[Any] = []

    def look(step: int, timestep: Any, latents: Any) -> None:
        seen.append((step, int(timestep), tuple(latents.shape)))

    draw(kind, callback=look, callback_steps=2, num_inference_steps=5)
    half = len(seen) // 2
    assert half > 1
    assert seen[:half] == seen[half:]


@ALL
def test_parameters_change_the_image(draw: Callable[..., Any], kind: Any) -> None:
    """What the comparisons above compare is not all the same picture."""
    plain = draw(kind)
    others: list[dict[str, Any]] = [
        {"image_embeds": embeds(seed=9)},
        {"negative_image_embeds": embeds(seed=9)},
        {"guidance_scale": 1.0},
        {"seed": 1},
    ]
    if "image" in KINDS[kind]:
        others.append({"image": picture(seed=1)})
    if "mask_image" in KINDS[kind]:
        others.append({"mask_image": mask(32, 8)})
    if "hint" in KINDS[kind]:
        others.append({"hint": -HINT})
    for call in others:
        assert np.abs(draw(kind, **call) - plain).max() > 1e-3, call
