"""The autoencoder against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.networks import assert_close, assert_same_names, twins
from support.public import public_config

from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.distributions import DiagonalGaussianDistribution

pytestmark = pytest.mark.parity

CHECKPOINTS = [
    "stable-diffusion-v1-5/vae",
    "stable-diffusion-inpainting/vae",
    "stable-diffusion-2-1/vae",
    "stable-diffusion-2-inpainting/vae",
    "stable-diffusion-xl-base-1.0/vae",
    "stable-diffusion-xl-base-1.0/vae_1_0",
]

BASE: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 8,
    "sample_size": 16,
}


def pair(**changes: Any) -> tuple[AutoencoderKL, Any]:
    return twins(AutoencoderKL, **{**BASE, **changes})


@torch.no_grad()
def compare(models: tuple[AutoencoderKL, Any], size: tuple[int, int] = (16, 16)) -> None:
    torch.manual_seed(1)
    ours, reference = models
    images = torch.randn(2, reference.config.in_channels, *size)
    expected = reference.encode(images).latent_dist
    assert_close(ours.encode(images).latent_dist.parameters, expected.parameters)
    latents = expected.mean
    assert_close(ours.decode(latents).sample, reference.decode(latents).sample)
    found, wanted = (
        model(images, sample_posterior=True, generator=torch.Generator().manual_seed(5)).sample
        for model in models
    )
    assert_close(found, wanted)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_state_dicts(checkpoint: str) -> None:
    assert_same_names(AutoencoderKL, public_config(checkpoint))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "block_out_channels": (16, 16, 32),
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "layers_per_block": 2,
        },
        {"latent_channels": 7, "in_channels": 4, "out_channels": 2},
        {"use_quant_conv": False, "use_post_quant_conv": False},
        {"mid_block_add_attention": False},
        {"act_fn": "gelu"},
        {
            "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
            "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        },
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_encoding_and_decoding(changes: dict[str, Any]) -> None:
    compare(pair(**changes))


@pytest.mark.parametrize("size", [(16, 16), (17, 13), (6, 40)], ids=str)
def test_sizes(size: tuple[int, int]) -> None:
    compare(pair(), size=size)


def test_slicing() -> None:
    models = pair()
    for model in models:
        model.enable_slicing()
    compare(models)


@pytest.mark.parametrize("size", [(16, 16), (28, 40), (33, 50), (14, 60)], ids=str)
@pytest.mark.parametrize("sample_size", [16, 20])
def test_tiling(size: tuple[int, int], sample_size: int) -> None:
    models = pair(sample_size=sample_size)
    for model in models:
        model.enable_tiling()
    compare(models, size=size)


def test_distributions() -> None:
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Reference

    generator = torch.Generator().manual_seed(0)
    moments, other, x = (torch.randn(2, n, 4, 4, generator=generator) for n in (6, 6, 3))
    found, expected = DiagonalGaussianDistribution(moments), Reference(moments)
    for name in ("mean", "logvar", "std", "var"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    torch.testing.assert_close(found.kl(), expected.kl())
    torch.testing.assert_close(
        found.kl(DiagonalGaussianDistribution(other)), expected.kl(Reference(other))
    )
    torch.testing.assert_close(found.nll(x), expected.nll(x))
    for seeds in ([3], [3, 4]):
        draws = [
            one.sample([torch.Generator().manual_seed(seed) for seed in seeds])
            for one in (found, expected)
        ]
        assert torch.equal(*draws)


def test_names_of_the_first_releases(tmp_path: Path) -> None:
    ours, reference = pair()
    new_names = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    old = {}
    for name, tensor in reference.state_dict().items():
        for was, new in new_names.items():
            name = name.replace(f".{new}.", f".{was}.")
        old[name] = tensor
    assert old.keys() != reference.state_dict().keys()
    ours.load_state_dict(AutoencoderKL.convert_state_dict(old))
    compare((ours, reference))
