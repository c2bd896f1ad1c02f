"""The depth model against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.pictures import picture

from autopipe import PNDMScheduler
from autopipe import StableDiffusionDepth2ImgPipeline as Pipe

pytestmark = pytest.mark.parity

DEPTH = torch.rand(2, 10, 12, generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"strength": 0.5, "negative_prompt": "a red dog", "output_type": "pil"},
        {"strength": 1.0, "guidance_scale": 1.0, "output_type": "pt"},
        {"prompt": ["a", "b"], "seed": [1, 2]},
        {"prompt": ["a", "b"], "image": [picture(), picture(seed=2)], "num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": None},
        {"image": picture().resize((27, 21)), "output_type": "latent"},
        {"depth_map": DEPTH[:1]},
        {"prompt": ["a", "b"], "depth_map": DEPTH},
        {"image": torch.rand(1, 3, 16, 24), "depth_map": DEPTH[:1]},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **{"image": picture(), "num_inference_steps": 4, **call})


def test_hybrid_estimator(compare: Callable[..., Any], estimators: dict[str, Any]) -> None:
    given = {"depth_estimator": estimators["hybrid"]}
    compare(Pipe, image=picture(), num_inference_steps=4, components=given)


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    if type(any_scheduler) is PNDMScheduler:
        # A tail of its warm-up is nothing that the reference can walk.
        any_scheduler = PNDMScheduler.from_config(any_scheduler.config, skip_prk_steps=True)
    given = {"scheduler": any_scheduler}
    compare(Pipe, image=picture(), num_inference_steps=5, strength=0.7, components=given)


def test_embeddings(compare: Callable[..., Any]) -> None:
    both = torch.randn(2, 2, 12, 16, generator=torch.Generator().manual_seed(2))
    embeds = {"prompt_embeds": both[0], "negative_prompt_embeds": both[1]}
    compare(Pipe, None, image=picture(), num_inference_steps=4, **embeds)


def test_noise_inside_steps(compare: Callable[..., Any], scheduler: Callable[..., Any]) -> None:
    given = {"scheduler": scheduler("DDIMScheduler")}
    compare(Pipe, image=picture(), num_inference_steps=4, eta=0.5, components=given)


def test_callbacks(compare: Callable[..., Any]) -> None:
    names = list(Pipe._callback_tensor_inputs)

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert list(tensors) == names
        return {"depth_mask": -tensors["depth_mask"], "latents": tensors["latents"] * 0.9}

    call: dict[str, Any] = {"image": picture(), "num_inference_steps": 5}
    plain = compare(Pipe, **call)
    changed = compare(
        Pipe, **call, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names
    )
    assert np.abs(plain - changed).max() > 1e-3


@pytest.mark.parametrize("kind", ["plain", "hybrid"])
def test_depth_maps(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    estimators: dict[str, Any],
    kind: str,
) -> None:
    ours = build(Pipe, depth_estimator=estimators[kind])
    call = (picture(), None, 2, True, torch.float32, torch.device("cpu"))
    found = ours.prepare_depth_map(*call)
    # The estimator is the same object; only resizing and scaling could differ.
    assert torch.allclose(found, reference(ours).prepare_depth_map(*call), atol=1e-6)
    assert found.std() > 0.1


def test_saved(
    build: Callable[..., Any],
    estimators: dict[str, Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
) -> None:
    ours = build(Pipe, depth_estimator=estimators["hybrid"])
    saved_alike(ours, reference(ours))


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    call = {"prompt": "a cat", "image": picture(), "num_inference_steps": 4}
    assert_same_kinds(ours, reference(ours), call)
