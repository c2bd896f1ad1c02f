"""The network of the family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import FluxTransformer2DModel
from autopipe.errors import ArgumentError, AutopipeError
from autopipe.placement.room import footprints_of

INPUTS: dict[str, Any] = {
    "hidden_states": torch.zeros(1, 4, 16),
    "encoder_hidden_states": torch.zeros(1, 3, 24),
    "pooled_projections": torch.zeros(1, 16),
    "timestep": torch.ones(1),
    "guidance": torch.ones(1),
    "img_ids": torch.zeros(4, 3),
    "txt_ids": torch.zeros(3, 3),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_states", torch.zeros(1, 4, 15)),
        ("hidden_states", None),
        ("encoder_hidden_states", torch.zeros(2, 3, 24)),
        ("encoder_hidden_states", None),
        ("pooled_projections", torch.zeros(1, 3, 16)),
        ("img_ids", torch.zeros(5, 3)),
        ("txt_ids", None),
        ("timestep", None),
        ("guidance", None),
        ("guidance", 3.5),
        ("guidance", torch.ones(1, 3)),
        ("controlnet_block_samples", 5),
        ("controlnet_single_block_samples", torch.zeros(1, 4, 16)),
        ("joint_attention_kwargs", {"loud": 1}),
    ],
)
def test_wrong_inputs_are_refused(
    transformer: Callable[..., Any], name: str, value: object
) -> None:
    with pytest.raises(ArgumentError, match=name):
        transformer()(**{**INPUTS, name: value})


@pytest.mark.parametrize(
    "config",
    [
        {"axes_dims_rope": [4, 2]},
        {"axes_dims_rope": [3, 3, 2]},
        {"axes_dims_rope": [4, 4, 4]},
        {"axes_dims_rope": "4, 2, 2"},
        {"num_layers": -1},
        {"num_layers": 10**9},
        {"num_single_layers": 257},
        {"attention_head_dim": 0},
        {"joint_attention_dim": 10**9},
        {"guidance_embeds": "yes"},
    ],
    ids=str,
)
def test_hostile_configs_are_refused(config: dict[str, Any]) -> None:
    small = {"attention_head_dim": 8, "num_attention_heads": 2, "axes_dims_rope": [4, 2, 2]}
    name = next(iter(config))
    with torch.device("meta"), pytest.raises(AutopipeError, match=name):
        FluxTransformer2DModel.from_config({**small, "num_layers": 1, **config})


def test_memory_is_estimated_at_the_size_of_training(transformer: Callable[..., Any]) -> None:
    network = transformer()
    # A 128 x 128 image has a token of 16 numbers for each four cells.
    (found,) = footprints_of({"transformer": network}, {})
    tokens = 64 * 64 * 16 * 4
    assert tokens < found.work < 100 * tokens


def test_gradient_checkpointing_gives_the_same_gradients(transformer: Callable[..., Any]) -> None:
    network, found = transformer().requires_grad_(True), []
    for enabled in (False, True):
        network.gradient_checkpointing = enabled
        network.zero_grad()
        network(**INPUTS).sample.square().mean().backward()
        found.append(network.x_embedder.weight.grad.clone())
    assert float(found[0].abs().max()) >= 0
    assert torch.allclose(*found)
