"""Programs with a loop of their own, made of the pipeline's methods, draw what they drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from support.own_loops import own_image2image, own_inpainting, own_text2image

import autopipe

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")


@pytest.fixture
def both(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """`both(make, name, **call)`: the same program on both libraries, compared."""

    def run(make: Any, name: str, components: Any = None, **call: Any) -> Any:
        ours = build(getattr(autopipe, name), **(components or {}))
        theirs = reference(ours)
        found, expected = (
            make(library, getattr(library, name))(**pipe.components, requires_safety_checker=False)
            for library, pipe in ((autopipe, ours), (diffusers, theirs))
        )
        for pipe in (found, expected):
            pipe.set_progress_bar_config(disable=True)
        one, other = (
            pipe(generator=torch.Generator().manual_seed(3), **call) for pipe in (found, expected)
        )
        # Float32 rounding over a few steps.
        assert record(f"{name}, own loop", one, other) <= 1e-4
        return one

    return run


@pytest.mark.parametrize(
    "call",
    [
        {"prompt": "a cat"},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": ["dog", ""], "count": 2},
        {"prompt": "a cat", "latents": torch.ones(1, 4, 8, 8)},
        {"prompt": "a cat", "guidance_scale": 3, "steps": 5},
    ],
)
@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler"])
def test_text_to_image(both: Callable[..., Any], scheduler: Any, call: Any, name: str) -> None:
    both(own_text2image, "StableDiffusionPipeline", {"scheduler": scheduler(name)}, **call)


def test_the_safety_checker_is_called(
    both: Callable[..., Any], checkers: Any, feature_extractor: Any
) -> None:
    watched = {"safety_checker": checkers(-1.0), "feature_extractor": feature_extractor}
    assert not both(own_text2image, "StableDiffusionPipeline", watched, prompt="a cat").any()


def test_image_to_image(both: Callable[..., Any], task: Any) -> None:
    if "mask_image" in task.call or "image" not in task.call:
        pytest.skip("not this task")
    image = task.call["image"]
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for one in (image, latents):
        both(own_image2image, "StableDiffusionImg2ImgPipeline", prompt="a cat", image=one)


@pytest.mark.parametrize("channels", [4, 9])
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_inpainting(both: Callable[..., Any], unets: Any, channels: int, strength: float) -> None:
    picture = Image.new("RGB", (16, 16), (200, 30, 60))
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 4, 12, 12))
    call = {"prompt": "a cat", "image": picture, "mask": mask, "strength": strength}
    unet = {"unet": unets(in_channels=channels)}
    both(own_inpainting, "StableDiffusionInpaintPipeline", unet, **call)


def test_embeddings_of_guidance_scales(build: Any, reference: Callable[[Any], Any]) -> None:
    ours = build(autopipe.StableDiffusionPipeline)
    theirs = reference(ours)
    scales = torch.tensor([0.0, 6.5, 2.3])
    for width in (8, 9, 512):
        found, expected = (
            pipe.get_guidance_scale_embedding(scales, width) for pipe in (ours, theirs)
        )
        # Angles of thousands in float32.
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("hidden", [None, True])
def test_image_embeddings(build: Any, reference: Callable[[Any], Any], hidden: Any) -> None:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=16, patch_size=8, projection_dim=6,
    )  # fmt: skip
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    parts = {"image_encoder": CLIPVisionModelWithProjection(config).eval()}
    parts |= {"feature_extractor": CLIPImageProcessor(**size)}
    ours = build(autopipe.StableDiffusionPipeline, **parts)
    picture = Image.new("RGB", (20, 16), (200, 30, 60))
    with torch.no_grad():
        found, expected = (
            pipe.encode_image(picture, "cpu", 2, hidden) for pipe in (ours, reference(ours))
        )
    for one, other in zip(found, expected):
        assert torch.equal(one, other)
