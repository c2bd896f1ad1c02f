"""All pipelines and networks against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.parity import TOLERANCE, as_array, entries, generators
from support.tiny import TOKENS, WIDTH

import autopipe
from autopipe import (
    PaellaVQModel,
    WuerstchenCombinedPipeline,
    WuerstchenDecoderPipeline,
    WuerstchenDiffNeXt,
    WuerstchenPrior,
    WuerstchenPriorPipeline,
)

from ..conftest import DECODER, PRIOR, VQ

pytestmark = pytest.mark.parity

NETWORKS = [PaellaVQModel, WuerstchenDiffNeXt, WuerstchenPrior]
KINDS = [WuerstchenPriorPipeline, WuerstchenDecoderPipeline, WuerstchenCombinedPipeline]
TINY: dict[Any, dict[str, Any]] = {
    PaellaVQModel: VQ,
    WuerstchenDiffNeXt: DECODER,
    WuerstchenPrior: PRIOR,
}
MOVED = {one.__name__ for one in NETWORKS}


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def small(kind: Any) -> dict[str, Any]:
    """Return the arguments of a small call."""
    if kind is WuerstchenPriorPipeline:
        return {"prompt": "a cat", "height": 128, "width": 170, "num_inference_steps": 3}
    call = {"prompt": "a cat", "num_inference_steps": 3, "output_type": "np"}
    if kind is WuerstchenDecoderPipeline:
        # Of a size whose latents are multiples of four, which diffusers needs.
        return {**call, "image_embeddings": noise(1, 4, 3, 6)}
    return {**call, "height": 128, "width": 256, "prior_num_inference_steps": 3}


@pytest.fixture
def drawn(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """Function that makes one call in both libraries, compares the results, and returns ours."""

    def run(kind: Any, seed: Any = 0, **call: Any) -> Any:
        ours = build(kind)
        found, expected = (
            next(iter(pipe(**{**small(kind), **call}, generator=generators(seed)).values()))
            for pipe in (ours, reference(ours))
        )
        assert type(found) is type(expected)
        scale = 42 if kind is WuerstchenPriorPipeline else 1
        difference = record(kind.__name__, as_array(found) / scale, as_array(expected) / scale)
        assert difference <= TOLERANCE
        return as_array(found)

    return run


@pytest.mark.parametrize("network", NETWORKS)
def test_the_published_networks_have_the_same_tensors(network: Any, twin: Any) -> None:
    with torch.device("meta"):
        ours = network()
        # Theirs joins lists.
        own = {k: [*v] if isinstance(v, tuple) else v for k, v in ours.config.items()}
        theirs = type(twin(network(**TINY[network])))(**{k: own[k] for k in own if k[0] != "_"})
    shapes = [{k: v.shape for k, v in one.state_dict().items()} for one in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "dog"], "num_images_per_prompt": 2, "output_type": "np"},
        {"prompt": ["a cat", "dog"], "negative_prompt": ["x", ""], "seed": [1, 2]},
        {"negative_prompt": "dog", "seed": None},
        {"guidance_scale": 1.0},
        {"timesteps": [1.0, 0.6, 0.2, 0.0]},
        {"latents": noise(1, 4, 3, 4)},
        {
            "prompt": None,
            "prompt_embeds": noise(2, TOKENS, WIDTH),
            "negative_prompt_embeds": noise(2, TOKENS, WIDTH) / 2,
        },
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_prior(drawn: Callable[..., Any], call: dict[str, Any]) -> None:
    drawn(WuerstchenPriorPipeline, **call)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"image_embeddings": noise(2, 4, 3, 3), "seed": [1, 2]},
        {"image_embeddings": [noise(1, 4, 3, 3)] * 2, "seed": None},
        {"image_embeddings": noise(1, 4, 3, 3).numpy(), "output_type": "pt"},
        {"guidance_scale": 4.0, "negative_prompt": "dog", "output_type": "pil"},
        {"timesteps": [1.0, 0.6, 0.2, 0.0], "output_type": "latent"},
        {"latents": noise(1, 4, 32, 64)},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_decoder(drawn: Callable[..., Any], call: dict[str, Any]) -> None:
    drawn(WuerstchenDecoderPipeline, **call)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"negative_prompt": "dog", "decoder_guidance_scale": 3.0},
        {"prior_guidance_scale": 1.0, "seed": None},
        {
            "prior_timesteps": [1.0, 0.6, 0.2, 0.0],
            "decoder_timesteps": [1.0, 0.5, 0.0],
            "latents": noise(1, 4, 3, 6),
        },
        {
            "prompt": None,
            "prompt_embeds": noise(1, TOKENS, WIDTH),
            "negative_prompt_embeds": noise(1, TOKENS, WIDTH) / 2,
        },
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_combined(drawn: Callable[..., Any], call: dict[str, Any]) -> None:
    drawn(WuerstchenCombinedPipeline, **call)


def test_parameters_change_the_image(drawn: Callable[..., Any]) -> None:
    """Check that the comparisons above compare different pictures."""
    plain = drawn(WuerstchenCombinedPipeline)
    for call in (
        {"prompt": "dog"},
        {"prior_guidance_scale": 1.0},
        {"decoder_guidance_scale": 3.0},
        {"seed": 1},
    ):
        other = drawn(WuerstchenCombinedPipeline, **call)
        assert np.abs(other - plain).max() > 10 * TOLERANCE, call


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_errors(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any
) -> None:
    ours = build(kind)
    assert_same_kinds(ours, reference(ours), small(kind))


@pytest.mark.parametrize("kind", [WuerstchenPriorPipeline, WuerstchenDecoderPipeline])
def test_encoded_prompts(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: Any
) -> None:
    ours = build(kind)
    given = {"prompt": ["a cat", "dog"], "negative_prompt": ["x", ""], "device": "cpu"}
    given |= {"num_images_per_prompt": 2, "do_classifier_free_guidance": True}
    found, expected = (pipe.encode_prompt(**given) for pipe in (ours, reference(ours)))
    for one, other in zip(found, expected):
        # Rounding, as batches differ.
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_both_ways(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    tmp_path: Path,
    kind: Any,
) -> None:
    """In diffusers component by component: it can't load these networks in a pipeline."""
    ours = build(kind)
    theirs = reference(ours)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    alike = entries(tmp_path / "theirs")
    for name, value in alike["model_index.json"].items():
        if isinstance(value, list) and value[1] in MOVED:
            alike["model_index.json"][name] = ["wuerstchen", value[1]]
    assert entries(tmp_path / "ours") == alike
    read = {
        name: type(one).from_pretrained(tmp_path / "ours" / name)
        for name, one in theirs.components.items()
    }
    pipes = (
        ours,
        type(theirs)(**read, **ours.options),
        autopipe.DiffusionPipeline.from_pretrained(tmp_path / "theirs"),
    )
    made = []
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
        made.append(as_array(next(iter(pipe(**small(kind), generator=generators(0)).values()))))
    for one in made[1:]:
        # The prior's results are in hundreds.
        assert record("checkpoints of both", made[0] / 42, one / 42) <= TOLERANCE
