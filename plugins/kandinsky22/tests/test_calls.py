"""What a call promises beyond its images: threads, stopping, sizes, errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from support.image_embeddings import embeds
from support.pictures import mask, picture

import autopipe
from autopipe import (
    DDIMScheduler,
    KandinskyV22CombinedPipeline,
    KandinskyV22Img2ImgPipeline,
    KandinskyV22InpaintPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
)
from autopipe.errors import ArgumentError, AutopipeError, CancelledError
from autopipe.registry import default_registry

SMALL: dict[str, Any] = {
    "height": 16,
    "width": 16,
    "num_inference_steps": 2,
    "output_type": "latent",
}
BOTH = {"image_embeds": embeds(), "negative_image_embeds": embeds(seed=2)}
CHAIN = {**SMALL, "prior_num_inference_steps": 2}


def seed(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_threads(build: Callable[..., Any]) -> None:
    """Schedulers of prior and decoder belong to the call."""
    pipe = build(KandinskyV22CombinedPipeline)

    def draw(number: int) -> torch.Tensor:
        steps = {"num_inference_steps": 2 + number, "prior_num_inference_steps": 2 + number}
        return pipe("a cat", **{**CHAIN, **steps}, generator=seed(number)).images

    serial = [draw(number) for number in range(3)]
    with ThreadPoolExecutor(3) as threads:
        assert all(map(torch.equal, threads.map(draw, range(3)), serial))


def test_latents_can_be_previewed(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22Pipeline)
    latents = pipe(**BOTH, **SMALL, generator=seed(1)).images
    (shown,) = pipe.preview(latents)
    assert shown.size == (SMALL["width"], SMALL["height"])
    assert np.asarray(shown).std() > 0


@pytest.mark.parametrize("stage", ["", "prior_"])
def test_cancelling_stops_either_stage(build: Callable[..., Any], stage: str) -> None:
    pipe = build(KandinskyV22CombinedPipeline)
    steps: list[int] = []

    def cancel(run: Any, step: int, timestep: Any, tensors: Any) -> None:
        steps.append(step)
        pipe.cancel()

    with pytest.raises(CancelledError):
        pipe("a cat", **CHAIN, **{f"{stage}callback_on_step_end": cancel})
    assert steps == [0]
    pipe("a cat", **CHAIN)


@pytest.mark.parametrize("kind", [KandinskyV22Img2ImgPipeline, KandinskyV22InpaintPipeline])
def test_height_is_height(build: Callable[..., Any], kind: Any) -> None:
    masks = {"mask_image": mask()} if kind is KandinskyV22InpaintPipeline else {}
    call = {**SMALL, "height": 8, "width": 24, "image": picture(), "strength": 1.0, **masks}
    assert build(kind)(**BOTH, **call).images.shape[-2:] == (4, 12)


@pytest.mark.parametrize("name", ["scheduler", "prior_scheduler"])
def test_a_scheduler_that_is_assigned_counts(build: Callable[..., Any], name: str) -> None:
    pipe = build(KandinskyV22CombinedPipeline)
    before = pipe("a cat", **CHAIN, generator=seed(0)).images
    setattr(pipe, name, DDIMScheduler(prediction_type="sample" if "prior" in name else "epsilon"))
    after = pipe("a cat", **CHAIN, generator=seed(0)).images
    assert not torch.equal(before, after)


def test_latents_belong_to_the_decoder(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22CombinedPipeline)
    ones = {"latents": torch.ones(1, 4, 8, 8), "prior_latents": torch.ones(1, 16)}
    plain, other = (pipe("a cat", **CHAIN, generator=seed(0), **k).images for k in ({}, ones))
    assert not torch.equal(plain, other)


def test_what_is_not_masked_stays(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22InpaintPipeline)
    found = pipe(**BOTH, **SMALL, image=picture(), mask_image=mask(16, 16)).images
    pixels = pipe.image_processor.preprocess(picture())
    with torch.no_grad():
        original = pipe.movq.encode(pixels).latents
    torch.testing.assert_close(found[..., 0, :], original[..., 0, :])
    assert not torch.allclose(found[..., 4, 4], original[..., 4, 4])


def test_strength_of_inpainting(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22InpaintPipeline)
    call = {**SMALL, "num_inference_steps": 4, "image": picture(), "mask_image": mask()}
    full, half = (
        pipe(**BOTH, **call, strength=strength, generator=seed(0)).images for strength in (1.0, 0.5)
    )
    assert not torch.equal(full, half)


GIVEN: dict[str, Any] = {
    **SMALL,
    **BOTH,
    "prompt": "a cat",
    "num_inference_steps": 4,
    "prior_num_inference_steps": 2,
    "image": picture(),
    "mask_image": mask(),
    "strength": 0.5,
    "hint": torch.zeros(1, 3, 64, 64),
}
KINDS = [one.name for one in default_registry().families["kandinsky22"].pipelines]
NOT_FINITE = torch.full((1, 3, 16, 16), float("nan"))
WRONG: list[tuple[str, Any, str]] = [
    ("prompt", None, "prompt"),
    ("prompt", ("a", "b"), "prompt is a tuple"),
    ("negative_prompt", ["a", "b"], "2 negative prompts for 1"),
    ("image_embeds", embeds()[:, :3], "this decoder's prior"),
    ("image_embeds", None, "missing"),
    ("image_embeds", [], "missing"),
    ("image_embeds", [None], "missing"),
    ("image_embeds", [embeds(), embeds()[:, :3]], "this decoder's prior"),
    ("image_embeds", ["embeds"], "is a str"),
    ("image_embeds", embeds(0), r"\(0, 16\)"),
    ("negative_image_embeds", embeds(2), "give equal numbers"),
    ("negative_image_embeds", None, "missing"),
    ("hint", None, "missing"),
    ("hint", torch.zeros(1, 3, 16, 16), r"\(batch, 3, 64, 64\)"),
    ("hint", torch.zeros(2, 3, 64, 64), "2 hints"),
    ("hint", [torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 32, 32)], r"\(batch, 3, 64, 64\)"),
    ("hint", picture(), "hint is a Image"),
    ("image", None, "image is missing"),
    ("image", "cat.png", "load_image"),
    ("image", torch.zeros(1, 3, 0, 0), "empty"),
    ("image", [picture()] * 2, "2 images"),
    ("image", torch.zeros(1, 1, 16, 16), "channels|pixels"),
    ("image", np.zeros((16, 16, 5)), "channels"),
    ("mask_image", None, "mask_image is missing"),
    ("mask_image", [mask()] * 2, "2 masks"),
    ("mask_image", torch.zeros(1, 3, 16, 16), "3 channels"),
    ("mask_image", torch.full((16, 16), 5.0), r"scale them to \[0, 1\]"),
    ("mask_image", NOT_FINITE[:, :1], "mask_image holds values that are not finite"),
    ("strength", 2.0, "strength"),
    ("strength", "1", "strength"),
    ("strength", 0.1, "leaves nothing"),
    ("height", 0, "height"),
    ("width", 16.5, "width"),
    ("num_inference_steps", 0, "num_inference_steps"),
    ("num_inference_steps", 1001, "1001"),
    ("prior_num_inference_steps", 1, "at least 2 steps"),
    ("guidance_scale", float("nan"), "finite"),
    ("prior_guidance_scale", "4", "guidance_scale"),
    ("num_images_per_prompt", 0, "num_images_per_prompt"),
    ("generator", 42, "Generator"),
    ("generator", [seed(0)] * 2, "2 generators"),
    ("latents", torch.zeros(1, 4, 9, 9), "latents"),
    ("prior_latents", torch.zeros(2, 16), "latents"),
    ("output_type", "jpeg", "jpeg"),
    ("callback", 5, "callback"),
    ("callback_steps", 0, "callback_steps"),
    ("callback_on_step_end", 5, "callback_on_step_end"),
    ("callback_on_step_end_tensor_inputs", ["image"], "latents"),
    ("callback_on_step_end_tensor_inputs", 5, "list of names"),
    ("prior_callback_on_step_end", 5, "callback_on_step_end"),
]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("kind", KINDS)
def test_errors_come_before_any_work(build: Callable[..., Any], kind: str) -> None:
    pipe = build(getattr(autopipe, kind))
    known = inspect.signature(pipe.__call__).parameters
    call = {name: value for name, value in GIVEN.items() if name in known}
    call["output_type"] = "pt"
    for name, value, said in WRONG:
        if name in known:
            with pytest.raises(AutopipeError, match=said):
                pipe(**{**call, name: value})


@pytest.mark.usefixtures("idle")
def test_errors_of_starting_from_an_image(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22InpaintPipeline)
    call = {**BOTH, **SMALL, "mask_image": mask()}
    for image, said in (
        (NOT_FINITE, "image holds values that are not finite"),
        (torch.full((1, 3, 16, 16), 255.0), r"scale them to \[-1, 1\]"),
    ):
        with pytest.raises(ArgumentError, match=said):
            pipe(image=image, **call)
    pipe = build(KandinskyV22Img2ImgPipeline)
    for images, said in (
        ([torch.zeros(4, 8, 8), torch.zeros(4, 9, 9)], "must be equal"),
        (np.zeros((16, 16, 5)), "5 channels"),
    ):
        with pytest.raises(ArgumentError, match=said):
            pipe(image=images, **BOTH, **SMALL)


def test_a_network_for_another_task(build: Callable[..., Any], unets: Callable[..., Any]) -> None:
    with pytest.raises(ArgumentError, match="channels"):
        build(KandinskyV22Pipeline, unet=unets("Inpaint"))(**BOTH, **SMALL)
    pipe = build(KandinskyV22InpaintPipeline, unet=unets(""))
    with pytest.raises(ArgumentError, match="doesn't take a mask"):
        pipe(**BOTH, **SMALL, image=picture(), mask_image=mask())


def test_lists_of_generators_with_negative_prompts(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22PriorPipeline)
    together = pipe(["a", "b"], ["c", "d"], generator=[seed(1), seed(2)], num_inference_steps=2)
    alone = pipe("a", "c", generator=[seed(1)], num_inference_steps=2)
    assert together.image_embeds.shape == (2, 16)
    assert alone.image_embeds.shape == (1, 16)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weights": [1.0]}, "2 images and prompts and 1 weights"),
        ({"images_and_prompts": [], "weights": []}, "at least one"),
        ({"images_and_prompts": ["a cat", 3]}, "contains int"),
        ({"images_and_prompts": "ab"}, "images_and_prompts must be a list, not str"),
        ({"images_and_prompts": ["a cat", torch.zeros(1, 3, 9, 9)]}, r"\(batch, 3, 16, 16\)"),
        ({"weights": ["1", 2.0]}, "weights is a str"),
        ({"negative_prompt": 5}, "negative_prompt is a int"),
        ({"negative_prior_prompt": 5}, "negative_prompt is a int"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt"),
        ({"generator": 42}, "Generator"),
    ],
    ids=str,
)
def test_errors_of_interpolate(build: Callable[..., Any], wrong: Any, said: str) -> None:
    call = {"images_and_prompts": ["a cat", picture()], "weights": [0.5, 0.5], **wrong}
    with pytest.raises(ArgumentError, match=said):
        build(KandinskyV22PriorPipeline).interpolate(**call)


def test_embeddings_are_mixed_too(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22PriorPipeline)
    one, other = embeds(), embeds(seed=2)
    mixed = pipe.interpolate([one, other], [0.25, 0.75], num_inference_steps=2).image_embeds
    torch.testing.assert_close(mixed, one * 0.25 + other * 0.75)


def test_mixing_leaves_the_pipeline_as_it_was(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22PriorPipeline)
    before = pipe.guidance_scale
    pipe.interpolate(["a cat"], [1.0], num_inference_steps=2, guidance_scale=9.0)
    assert pipe.guidance_scale == before
