"""Text to image with a prior against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.image_embeddings import DIM

from autopipe import StableUnCLIPPipeline as Pipe
from autopipe import UnCLIPScheduler

pytestmark = pytest.mark.parity

LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
PRIOR_LATENTS = torch.randn(1, DIM, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"negative_prompt": "a red dog", "noise_level": 300},
        {"guidance_scale": 1.0, "prior_guidance_scale": 1.0, "output_type": "pt"},
        {"prompt": ["a", "b"], "num_images_per_prompt": 2, "output_type": "latent"},
        {"prompt": ["a", "b"], "seed": [1, 2], "noise_level": 999},
        {"latents": LATENTS, "prior_latents": PRIOR_LATENTS, "seed": None},
        {"height": 24, "width": 16, "eta": 0.5},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **{"prior_num_inference_steps": 3, **call})


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    given = {"scheduler": any_scheduler}
    compare(Pipe, num_inference_steps=4, prior_num_inference_steps=2, components=given)


def test_scheduler_of_the_prior(compare: Callable[..., Any]) -> None:
    scheduler = UnCLIPScheduler(prediction_type="sample", clip_sample_range=5.0)
    given = {"prior_scheduler": scheduler}
    compare(Pipe, prior_num_inference_steps=3, components=given)


def test_callbacks(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    seen: list[list[Any]] = []
    for pipe in (ours, reference(ours)):
        steps: list[Any] = []
        pipe(
            "a cat", num_inference_steps=3, prior_num_inference_steps=4,
            generator=torch.Generator().manual_seed(0), callback_steps=2,
            callback=lambda step, t, latents, to=steps: to.append((step, int(t), latents.clone())),
        )  # fmt: skip
        seen.append(steps)
    assert [one[:2] for one in seen[0]] == [one[:2] for one in seen[1]]
    for (*_, found), (*_, expected) in zip(*seen):
        assert torch.allclose(found, expected, atol=1e-4)  # float32 rounding over a few steps


def test_saved(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
) -> None:
    ours = build(Pipe)
    saved_alike(ours, reference(ours))


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    call = {"prompt": "a cat", "num_inference_steps": 3, "prior_num_inference_steps": 3}
    assert_same_kinds(ours, reference(ours), call)


@pytest.mark.parametrize("guided", [True, False])
def test_texts_of_the_prior(
    build: Callable[..., Any], reference: Callable[[Any], Any], guided: bool
) -> None:
    ours = build(Pipe)
    pipes = ours, reference(ours)
    with torch.no_grad():
        own = ours._encode_prior_prompt(["a cat", "dog"], "cpu", 1, False)
        given = {"text_model_output": own[:2], "text_attention_mask": own[2]}
        for call in ((["a cat", "dog"], "cpu", 2, guided), (None, "cpu", 2, guided)):
            further = {} if call[0] else given
            found, expected = (pipe._encode_prior_prompt(*call, **further) for pipe in pipes)
            for one, other in zip(found, expected, strict=True):
                # Both halves are encoded in one batch here.
                torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
