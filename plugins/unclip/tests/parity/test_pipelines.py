"""Both pipelines against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.image_embeddings import DIM, embeds
from support.parity import TOLERANCE, as_array, entries, generators
from support.pictures import picture
from support.tiny import TOKENS

import autopipe
from autopipe import UnCLIPImageVariationPipeline, UnCLIPPipeline

pytestmark = pytest.mark.parity

STEPS = {"decoder_num_inference_steps": 3, "super_res_num_inference_steps": 3}


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def drawn(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """Function that makes one call in both libraries, compares the images, and returns ours."""

    def run(kind: Any, seed: Any = 0, components: Any = None, **call: Any) -> Any:
        ours = build(kind, **(components or {}))
        own = {"prior_num_inference_steps": 3} if kind is UnCLIPPipeline else {}
        call = {**STEPS, **own, "output_type": "np", **call}
        found, expected = (
            pipe(**call, generator=generators(seed)).images for pipe in (ours, reference(ours))
        )
        # Where a picture is nearly black, an early step has multiplied rounding.
        assert record(kind.__name__, found, expected) <= 5 * TOLERANCE
        return as_array(found)

    return run


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "dog"], "num_images_per_prompt": 2},
        {"prompt": ["a cat", "dog"], "seed": [1, 2]},
        {"seed": None, "output_type": "pil"},
        {"prior_guidance_scale": 1.0, "decoder_guidance_scale": 1.0},
        {"prior_guidance_scale": 1.0},
        {"decoder_guidance_scale": 0.5},
        {"prior_num_inference_steps": 2, "super_res_num_inference_steps": 4},
        {
            "prior_latents": noise(1, DIM),
            "decoder_latents": noise(1, 3, 8, 8),
            "super_res_latents": noise(1, 3, 16, 16),
        },
        {
            "prompt": None,
            "text_model_output": (embeds(2), noise(2, TOKENS, DIM)),
            "text_attention_mask": torch.arange(TOKENS).repeat(2, 1) < 7,
            "num_images_per_prompt": 2,
        },
        {"prior_guidance_scale": 0.5},
        {"prompt": "a prompt that is much longer than the few tokens that are read of it"},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_text_to_image(drawn: Callable[..., Any], call: dict[str, Any]) -> None:
    drawn(UnCLIPPipeline, **{"prompt": "a cat", **call})


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"image": [picture(), picture(seed=2)], "num_images_per_prompt": 2},
        {"image": noise(1, 3, 16, 16), "decoder_guidance_scale": 1.0},
        {"image": None, "image_embeddings": embeds(2), "seed": [1, 2]},
        {"decoder_latents": noise(1, 3, 8, 8), "super_res_latents": noise(1, 3, 16, 16)},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_variation(drawn: Callable[..., Any], call: dict[str, Any]) -> None:
    drawn(UnCLIPImageVariationPipeline, **{"image": picture(), **call})


def test_parameters_change_the_image(drawn: Callable[..., Any]) -> None:
    """Check that the comparisons above compare different pictures."""
    plain = drawn(UnCLIPPipeline, prompt="a cat")
    for call in (
        {"prompt": "a red dog"},
        {"prior_guidance_scale": 1.0},
        {"decoder_guidance_scale": 2.0},
        {"seed": 1},
    ):
        other = drawn(UnCLIPPipeline, **{"prompt": "a cat", **call})
        assert np.abs(other - plain).max() > 10 * TOLERANCE, call


@pytest.mark.parametrize("kind", [UnCLIPPipeline, UnCLIPImageVariationPipeline])
def test_kinds_of_errors(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any
) -> None:
    ours = build(kind)
    inputs = {"prompt": "a cat"} if kind is UnCLIPPipeline else {"image": picture()}
    assert_same_kinds(ours, reference(ours), {**inputs, **STEPS})


@pytest.mark.parametrize("kind", [UnCLIPPipeline, UnCLIPImageVariationPipeline])
def test_encoded_prompts(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any
) -> None:
    ours = build(kind)
    pipes = ours, reference(ours)
    found, expected = (pipe._encode_prompt(["a cat", "dog"], "cpu", 2, True) for pipe in pipes)
    for one, other in zip(found, expected):
        # Both halves are encoded in one batch here.
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [UnCLIPPipeline, UnCLIPImageVariationPipeline])
def test_checkpoints_both_ways(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    tmp_path: Path,
    kind: Any,
) -> None:
    """In diffusers component by component: it can't load the projection in a pipeline."""
    ours = build(kind)
    theirs = reference(ours)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    alike = entries(tmp_path / "theirs")
    alike["model_index.json"]["text_proj"] = ["unclip", "UnCLIPTextProjModel"]
    assert entries(tmp_path / "ours") == alike
    read = {
        name: type(one).from_pretrained(tmp_path / "ours" / name)
        for name, one in theirs.components.items()
    }
    pipes = (
        ours,
        type(theirs)(**read),
        autopipe.DiffusionPipeline.from_pretrained(tmp_path / "theirs"),
    )
    own = {"prompt": "a cat", "prior_num_inference_steps": 2}
    call = own if kind is UnCLIPPipeline else {"image": picture()}
    drawn = []
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
        drawn.append(pipe(**call, **STEPS, output_type="np", generator=generators(0)).images)
    for image in drawn[1:]:
        assert record("checkpoints of both", drawn[0], image) <= 5 * TOLERANCE
