"""Text to image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import StableDiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError

CALL = {"num_inference_steps": 2, "output_type": "pt"}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"height": 17, "width": 16}, ArgumentError),
        ({"height": 16, "width": -8}, ArgumentError),
        ({"height": "16", "width": 16}, ArgumentTypeError),
        ({"height": 16.5, "width": 16}, ArgumentTypeError),
        ({"latents": torch.zeros(1, 4, 8, 9)}, ArgumentError),
        ({"latents": torch.zeros(2, 4, 8, 8)}, ArgumentError),
        ({"latents": [0.0]}, ArgumentTypeError),
        ({"guidance_rescale": 1.5}, ArgumentError),
        ({"guidance_rescale": "1"}, ArgumentTypeError),
    ],
    ids=str,
)
def test_bad_calls_are_refused_before_any_work(
    build: Callable[..., Any], bad: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(bad)) + "|width"):
        build(StableDiffusionPipeline)("a cat", **{**CALL, **bad})


@pytest.mark.usefixtures("idle")
def test_a_unet_for_inpainting_is_refused_when_called(
    build: Callable[..., Any], unets: Callable[..., Any]
) -> None:
    pipe = build(StableDiffusionPipeline, unet=unets(in_channels=9, out_channels=4))
    with pytest.raises(ArgumentError, match="inpainting"):
        pipe("a cat", **CALL)


def test_sizes(build: Callable[..., Any], unets: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionPipeline)
    assert pipe("a cat", **CALL).images.shape == (1, 3, 16, 16)
    assert pipe("a cat", height=24, width=8, **CALL).images.shape == (1, 3, 24, 8)
    wide = build(StableDiffusionPipeline, unet=unets(sample_size=(8, 12)))
    assert wide("a cat", **CALL).images.shape == (1, 3, 16, 24)


def test_latents_stand_for_the_noise_that_would_be_drawn(
    build: Callable[..., Any], seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(StableDiffusionPipeline)
    drawn = pipe("a cat", generator=seeded(3), **CALL).images
    given = pipe("a cat", latents=torch.randn(1, 4, 8, 8, generator=seeded(3)), **CALL).images
    assert torch.equal(drawn, given)


def test_guidance_doubles_the_batch_only_where_it_is_on(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = build(StableDiffusionPipeline)
    batches: list[int] = []
    forward = type(pipe.unet).forward

    def count(self: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        batches.append(len(sample))
        return forward(self, sample, *args, **kwargs)

    monkeypatch.setattr(type(pipe.unet), "forward", count)
    pipe("a cat", num_inference_steps=1, output_type="latent")
    pipe("a cat", num_inference_steps=1, output_type="latent", guidance_scale=1.0)
    assert (batches[0], batches[-1]) == (2, 1)
