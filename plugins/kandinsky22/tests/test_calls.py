"""What a call promises beyond its images: threads, stopping, sizes, errors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.image_embeddings import embeds
from support.pictures import mask, picture

from autopipe import (
    KandinskyV22CombinedPipeline,
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22Img2ImgPipeline,
    KandinskyV22InpaintPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
)
from autopipe.errors import ArgumentError, CancelledError

SMALL: dict[str, Any] = {
    "height": 16,
    "width": 16,
    "num_inference_steps": 2,
    "output_type": "latent",
}
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
    both = {"image_embeds": embeds(), "negative_image_embeds": embeds(seed=2)}
    assert build(kind)(**both, **call).images.shape[-2:] == (4, 12)


def test_latents_belong_to_the_decoder(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22CombinedPipeline)
    ones = {"latents": torch.ones(1, 4, 8, 8), "prior_latents": torch.ones(1, 16)}
    plain, other = (pipe("a cat", **CHAIN, generator=seed(0), **k).images for k in ({}, ones))
    assert not torch.equal(plain, other)


def test_what_is_not_masked_stays(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22InpaintPipeline)
    both = {"image_embeds": embeds(), "negative_image_embeds": embeds(seed=2)}
    found = pipe(**both, **SMALL, image=picture(), mask_image=mask(16, 16)).images
    pixels = pipe.image_processor.preprocess(picture())
    with torch.no_grad():
        original = pipe.movq.encode(pixels).latents
    torch.testing.assert_close(found[..., 0, :], original[..., 0, :])
    assert not torch.allclose(found[..., 4, 4], original[..., 4, 4])


def test_strength_of_inpainting(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22InpaintPipeline)
    call = {**SMALL, "num_inference_steps": 4, "image": picture(), "mask_image": mask()}
    both = {"image_embeds": embeds(), "negative_image_embeds": embeds(seed=2)}
    full, half = (
        pipe(**both, **call, strength=strength, generator=seed(0)).images for strength in (1.0, 0.5)
    )
    assert not torch.equal(full, half)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_embeds": embeds()[:, :3]}, "prior that belongs to it"),
        ({"image_embeds": None}, "missing"),
        ({"negative_image_embeds": embeds(2)}, "as many"),
        ({"negative_image_embeds": None}, "missing"),
        ({"height": 0}, "height"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"latents": torch.zeros(1, 4, 9, 9)}, "latents"),
    ],
)
def test_errors_of_a_decoder(build: Callable[..., Any], wrong: dict[str, Any], said: str) -> None:
    both = {"image_embeds": embeds(), "negative_image_embeds": embeds(seed=2)}
    with pytest.raises(ArgumentError, match=said):
        build(KandinskyV22Pipeline)(**{**SMALL, **both, **wrong})


def test_a_network_for_another_task(build: Callable[..., Any], unets: Callable[..., Any]) -> None:
    both = {"image_embeds": embeds(), "negative_image_embeds": embeds(seed=2)}
    with pytest.raises(ArgumentError, match="channels"):
        build(KandinskyV22Pipeline, unet=unets("Inpaint"))(**both, **SMALL)
    pipe = build(KandinskyV22InpaintPipeline, unet=unets(""))
    with pytest.raises(ArgumentError, match="takes no mask"):
        pipe(**both, **SMALL, image=picture(), mask_image=mask())


def test_errors_come_before_the_prior(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = build(KandinskyV22Img2ImgCombinedPipeline)
    monkeypatch.setattr(KandinskyV22PriorPipeline, "_condition", lambda *a: pytest.fail("used"))
    with pytest.raises(ArgumentError, match="strength"):
        pipe("a cat", picture(), **CHAIN, strength=2.0)
    with pytest.raises(ArgumentError, match="negative prompts"):
        pipe(["a", "b"], picture(), ["c"], **{**CHAIN, "num_inference_steps": 4})


def test_lists_of_generators_with_negative_prompts(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyV22PriorPipeline)
    together = pipe(["a", "b"], ["c", "d"], generator=[seed(1), seed(2)], num_inference_steps=2)
    alone = pipe("a", "c", generator=[seed(1)], num_inference_steps=2)
    assert together.image_embeds.shape == (2, 16)
    assert alone.image_embeds.shape == (1, 16)


@pytest.mark.parametrize(
    ("mixed", "weights"), [(["a"], [1.0, 2.0]), ([], []), ([3], [1.0])], ids=repr
)
def test_errors_of_interpolate(build: Callable[..., Any], mixed: Any, weights: Any) -> None:
    with pytest.raises(ArgumentError):
        build(KandinskyV22PriorPipeline).interpolate(mixed, weights)
