"""Both priors against diffusers, seed for seed, with every parameter of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.chains import PriorParity
from support.image_embeddings import DIM
from support.pictures import picture

from autopipe import KandinskyV22PriorEmb2EmbPipeline
from autopipe import KandinskyV22PriorPipeline as Pipe

pytestmark = pytest.mark.parity


class TestPrior(PriorParity):
    pipe = Pipe


def test_interpolated_with_parameters_of_the_call(compare_embeds: Callable[..., Any]) -> None:
    compare_embeds(
        Pipe,
        ["a cat", picture()],
        [0.4, 0.6],
        method="interpolate",
        num_images_per_prompt=2,
        guidance_scale=2.0,
    )


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
