"""The quantised autoencoder against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.networks import assert_close, assert_same_names, twins
from support.public import public_config

from autopipe_components.networks.vq_model import VQModel

pytestmark = pytest.mark.parity

CHECKPOINTS = ["kandinsky-2-1/movq", "kandinsky-2-2-decoder/movq"]

# Of images: the latents also multiply the activations of each layer, and their roundings with
# them. (In float64 the two agree to 1e-13.)
TOLERANCE = 5e-5

BASE: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "norm_num_groups": 8,
    "num_vq_embeddings": 20,
}
SPATIAL = {"norm_type": "spatial", "latent_channels": 4, "block_out_channels": (32, 64)}


@torch.no_grad()
def compare(models: tuple[VQModel, Any], size: tuple[int, int] = (16, 24)) -> None:
    torch.manual_seed(1)
    ours, reference = models
    images = torch.randn(2, 3, *size)
    latents = reference.encode(images).latents
    assert_close(ours.encode(images).latents, latents)
    for options in ({}, {"force_not_quantize": True}):
        found, expected = (model.decode(latents, **options) for model in models)
        assert_close(found.sample, expected.sample, TOLERANCE)
        torch.testing.assert_close(found.commit_loss, expected.commit_loss)
    found, expected = (model(images, return_dict=False) for model in models)
    assert_close(found[0], expected[0], TOLERANCE)
    torch.testing.assert_close(found[1], expected[1])


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_state_dicts(checkpoint: str) -> None:
    assert_same_names(VQModel, public_config(checkpoint))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SPATIAL,
        {**SPATIAL, "layers_per_block": 2, "vq_embed_dim": 4},
        {**SPATIAL, "mid_block_add_attention": False, "norm_num_groups": 16},
        {"vq_embed_dim": 5, "latent_channels": 4},
        {"down_block_types": ("DownEncoderBlock2D",) * 2, "act_fn": "gelu"},
        {"up_block_types": ("UpDecoderBlock2D",) * 2, "mid_block_add_attention": False},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_encoding_and_decoding(changes: dict[str, Any]) -> None:
    compare(twins(VQModel, **{**BASE, **changes}))


@pytest.mark.parametrize("size", [(16, 16), (17, 13), (6, 40)], ids=str)
def test_sizes(size: tuple[int, int]) -> None:
    compare(twins(VQModel, **{**BASE, **SPATIAL}), size=size)


def test_vectors_of_the_codebook() -> None:
    models = twins(VQModel, **{**BASE, **SPATIAL}, lookup_from_codebook=True)
    indices = torch.randint(20, (2, 4, 6), generator=torch.Generator().manual_seed(0))
    found, expected = (
        model.decode(indices, force_not_quantize=True, shape=(2, 4, 6, 4)).sample
        for model in models
    )
    assert_close(found, expected, TOLERANCE)
    latents = torch.randn(2, 4, 4, 6)
    quantised, loss, taken = models[0].quantize(latents)
    wanted, wanted_loss, (_, _, wanted_taken) = models[1].quantize(latents)
    assert torch.equal(taken, wanted_taken)
    assert torch.equal(quantised, wanted)
    torch.testing.assert_close(loss, wanted_loss)


def test_gradients_of_the_loss() -> None:
    models = twins(VQModel, **{**BASE, **SPATIAL})
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for model in models:
        output = model(images)
        (output.sample.square().mean() + output.commit_loss).backward()
    expected = dict(models[1].named_parameters())
    for name, parameter in models[0].named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-5, rtol=1e-4)


def test_folders_go_both_ways(tmp_path: Path) -> None:
    ours, reference = twins(VQModel, **{**BASE, **SPATIAL})
    ours.save_pretrained(tmp_path / "ours")
    reference.save_pretrained(tmp_path / "theirs")
    back = VQModel.from_pretrained(tmp_path / "theirs")
    compare((back, type(reference).from_pretrained(tmp_path / "ours")))
    theirs = {key: value for key, value in reference.config.items() if not key.startswith("_")}
    assert {key: value for key, value in ours.config.items() if not key.startswith("_")} == theirs
