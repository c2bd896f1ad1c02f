"""The prior's network against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.networks import assert_close, assert_same_names, twins
from support.public import public_config
from torch import Tensor

from autopipe_components.networks.prior_transformer import PriorTransformer

pytestmark = pytest.mark.parity

CHECKPOINTS = ["kandinsky-2-1-prior/prior", "kandinsky-2-2-prior/prior"]

BASE: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 6,
    "num_layers": 2,
    "embedding_dim": 8,
    "num_embeddings": 7,
    "additional_embeddings": 4,
}
OF_MANY: dict[str, Any] = {
    "additional_embeddings": 0,
    "num_embeddings": 5,
    "norm_in_type": "layer",
    "embedding_proj_norm_type": "layer",
    "encoder_hid_proj_type": None,
    "added_emb_type": None,
    "embedding_proj_dim": 9,
    "clip_embed_dim": 16,
    "time_embed_act_fn": "gelu",
    "time_embed_dim": 20,
}
"""A prior of several embeddings for each sample, and no tokens of a text."""


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def inputs(mask: bool = True) -> dict[str, Any]:
    tokens = torch.ones(3, 7, dtype=torch.bool)
    tokens[0, 4:] = tokens[1, 2:] = False
    return {
        "hidden_states": draw(3, 8),
        "timestep": 37,
        "proj_embedding": draw(3, 8),
        "encoder_hidden_states": draw(3, 7, 8),
        "attention_mask": tokens if mask else None,
    }


@torch.no_grad()
def compare(models: tuple[PriorTransformer, Any], **given: Any) -> None:
    found, expected = (model(**given).predicted_image_embedding for model in models)
    assert_close(found, expected)
    (again,) = models[0](**given, return_dict=False)
    assert torch.equal(again, found)
    latents = draw(*found.shape)
    assert_close(*(model.post_process_latents(latents) for model in models))


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_state_dicts(checkpoint: str) -> None:
    assert_same_names(PriorTransformer, public_config(checkpoint))


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dropout": 0.3, "norm_in_type": "layer", "embedding_proj_norm_type": "layer"},
        {"time_embed_dim": 10, "time_embed_act_fn": "relu", "clip_embed_dim": 5},
        {"num_layers": 1, "num_attention_heads": 1, "attention_head_dim": 16},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_predictions(changes: dict[str, Any], mask: bool) -> None:
    compare(twins(PriorTransformer, **{**BASE, **changes}), **inputs(mask))


@pytest.mark.parametrize(
    "timestep",
    [torch.tensor(12), torch.tensor([12]), torch.tensor([3, 500, 999]), torch.tensor(4.5)],
    ids=str,
)
def test_timesteps(timestep: Any) -> None:
    compare(twins(PriorTransformer, **BASE), **{**inputs(), "timestep": timestep})


@pytest.mark.parametrize("prd", [None, "prd"])
def test_a_prior_of_several_embeddings(prd: str | None) -> None:
    models = twins(PriorTransformer, **{**BASE, **OF_MANY, "added_emb_type": prd})
    compare(models, hidden_states=draw(2, 5, 8), timestep=9, proj_embedding=draw(2, 9))


def test_gradients() -> None:
    models = twins(PriorTransformer, **BASE)
    for model in models:
        output = model(**inputs()).predicted_image_embedding
        model.post_process_latents(output).square().mean().backward()
    expected = dict(models[1].named_parameters())
    for name, parameter in models[0].named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-6, rtol=1e-4)


def test_folders_go_both_ways(tmp_path: Path) -> None:
    ours, reference = twins(PriorTransformer, **BASE)
    ours.save_pretrained(tmp_path / "ours")
    reference.save_pretrained(tmp_path / "theirs")
    back = PriorTransformer.from_pretrained(tmp_path / "theirs")
    compare((back, type(reference).from_pretrained(tmp_path / "ours")), **inputs())
    theirs = {key: value for key, value in reference.config.items() if not key.startswith("_")}
    assert {key: value for key, value in ours.config.items() if not key.startswith("_")} == theirs
