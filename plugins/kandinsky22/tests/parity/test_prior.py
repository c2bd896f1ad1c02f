"""The prior against diffusers, seed for seed, with every parameter of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.image_embeddings import DIM
from support.pictures import picture

from autopipe import KandinskyV22PriorEmb2EmbPipeline
from autopipe import KandinskyV22PriorPipeline as Pipe

pytestmark = pytest.mark.parity

LATENTS = torch.randn(2, DIM, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "dog"]},
        {"prompt": ["a cat", "dog"], "negative_prompt": ["x", ""]},
        {"negative_prompt": "dog"},
        {"negative_prompt": ""},
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"num_images_per_prompt": 2, "negative_prompt": "dog"},
        {"seed": None},
        {"guidance_scale": 1.0},
        {"guidance_scale": 9},
        {"num_inference_steps": 2},
        {"latents": LATENTS, "negative_prompt": "dog"},
        {"output_type": "np"},
        {"prompt": "a prompt that is much longer than the few tokens that are read of it"},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare_embeds: Callable[..., Any], call: dict[str, Any]) -> None:
    compare_embeds(Pipe, **{"prompt": "a cat", **call})


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"negative_prompt": "dog"},
        {"negative_prior_prompt": "dog"},
        {"num_images_per_prompt": 2, "guidance_scale": 2.0},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_interpolate(compare_embeds: Callable[..., Any], call: dict[str, Any]) -> None:
    pixels = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    mixed = ["a cat", picture(), pixels]
    compare_embeds(Pipe, mixed, [0.3, 0.5, 0.2], method="interpolate", **call)


def test_parameters_change_the_embeddings(compare_embeds: Callable[..., Any]) -> None:
    """What the comparisons above compare is not all the same."""
    plain = compare_embeds(Pipe, "a cat")
    for call in ({"prompt": "a red dog"}, {"guidance_scale": 1.0}, {"seed": 1}):
        other = compare_embeds(Pipe, **{"prompt": "a cat", **call})
        assert (plain.image_embeds - other.image_embeds).abs().max() > 1e-3, call
    away = compare_embeds(Pipe, "a cat", negative_prompt="dog")
    assert (plain.negative_image_embeds - away.negative_image_embeds).abs().max() > 1e-3


def test_callbacks_change_tensors(compare_embeds: Callable[..., Any]) -> None:
    names = list(Pipe._callback_tensor_inputs)

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert list(tensors) == names
        changed = {name: value * 0.9 for name, value in tensors.items() if name != "text_mask"}
        return {**changed, "text_mask": tensors["text_mask"]}

    plain = compare_embeds(Pipe, "a cat")
    changed = compare_embeds(
        Pipe, "a cat", callback_on_step_end=change, callback_on_step_end_tensor_inputs=names
    )
    assert (plain.image_embeds - changed.image_embeds).abs().max() > 1e-3


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"strength": 0.5},
        {"strength": 1.0, "negative_prompt": "dog"},
        {"prompt": ["a cat", "dog"], "image": [picture(), picture(seed=2)]},
        {"num_images_per_prompt": 2},
        {"image": torch.ones(1, DIM)},
        {"image": [torch.ones(1, DIM)], "guidance_scale": 1.0},
        {"image": torch.ones(1, 3, 16, 16), "output_type": "np"},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_starting_from_an_image(compare_embeds: Callable[..., Any], call: dict[str, Any]) -> None:
    given = {"prompt": "a cat", "image": picture(), "strength": 0.8, **call}
    compare_embeds(KandinskyV22PriorEmb2EmbPipeline, **given)
