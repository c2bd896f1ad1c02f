"""Both tasks against diffusers, seed for seed, and what is refused there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.pictures import picture

from autopipe import (
    AltDiffusionImg2ImgPipeline,
    AltDiffusionPipeline,
    EulerAncestralDiscreteScheduler,
)

pytestmark = pytest.mark.parity

KINDS: dict[Any, dict[str, Any]] = {
    AltDiffusionPipeline: {},
    AltDiffusionImg2ImgPipeline: {"image": picture(), "strength": 0.7},
}
ALL = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
EMBEDS = torch.randn(2, 1, 12, 16, generator=torch.Generator().manual_seed(2))


@ALL
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": ["dog", ""]},
        {"negative_prompt": "a red dog", "num_images_per_prompt": 2},
        {"prompt": "a prompt that is much longer than what is read of it"},
        {"guidance_scale": 1.0, "output_type": "pt"},
        {"output_type": "latent"},
        {"prompt": None, "prompt_embeds": EMBEDS[0], "negative_prompt_embeds": EMBEDS[1]},
        {"seed": None, "num_inference_steps": 5},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], kind: Any, call: dict[str, Any]) -> None:
    compare(kind, **{**KINDS[kind], **call})


def test_arguments_of_one_task(compare: Callable[..., Any]) -> None:
    compare(AltDiffusionPipeline, guidance_rescale=0.7, height=24, width=16)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    compare(AltDiffusionPipeline, latents=latents)
    compare(AltDiffusionPipeline, num_images_per_prompt=2, seed=[4, 5])
    compare(AltDiffusionImg2ImgPipeline, image=picture(24, 16), strength=1.0)


@ALL
@pytest.mark.parametrize(
    "options", [{"has_pre_transformation": True}, {"use_attention_mask": False}]
)
def test_kinds_of_text_encoders(
    compare: Callable[..., Any],
    text_encoders: Callable[..., Any],
    kind: Any,
    options: dict[str, Any],
) -> None:
    components = {"text_encoder": text_encoders(**options)}
    plain = compare(kind, "a dog", **KINDS[kind])
    assert abs(compare(kind, "a dog", components=components, **KINDS[kind]) - plain).max() > 1e-3


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    compare(AltDiffusionPipeline, num_inference_steps=4, components={"scheduler": any_scheduler})


def test_noise_inside_steps_from_an_image(compare: Callable[..., Any]) -> None:
    components = {"scheduler": EulerAncestralDiscreteScheduler()}
    # With fewer pictures than generators, diffusers encodes empty slices.
    call = {"image": [picture(), picture(seed=2)], "seed": [1, 2], "num_images_per_prompt": 2}
    compare(AltDiffusionImg2ImgPipeline, components=components, **call)


@ALL
def test_callbacks(compare: Callable[..., Any], kind: Any) -> None:
    seen: list[Any] = []

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, int(timestep), {k: tuple(v.shape) for k, v in tensors.items()}))
        return {name: tensor * 0.9 for name, tensor in tensors.items() if step == 0}

    names = ["latents", "prompt_embeds", "negative_prompt_embeds"]
    compare(
        kind,
        callback_on_step_end=change,
        callback_on_step_end_tensor_inputs=names[:2],
        num_inference_steps=4,
        **KINDS[kind],
    )
    half = len(seen) // 2
    assert half > 1
    assert seen[:half] == seen[half:]


@ALL
def test_kinds_of_errors(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any
) -> None:
    ours = build(kind)
    call = {"prompt": "a cat", **KINDS[kind], "num_inference_steps": 4}
    assert_same_kinds(ours, reference(ours), call)
