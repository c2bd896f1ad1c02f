"""The tiny autoencoder against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.networks import assert_close, twins

from autopipe_components.networks.autoencoder_tiny import AutoencoderTiny

pytestmark = pytest.mark.parity

BASE: dict[str, Any] = {
    "encoder_block_out_channels": (16,) * 4,
    "decoder_block_out_channels": (16,) * 4,
    "num_encoder_blocks": (1, 2, 1, 1),
    "num_decoder_blocks": (1, 1, 2, 1),
}


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"act_fn": "silu", "upsample_fn": "bilinear"},
        {"latent_channels": 16, "latent_magnitude": 2.0, "latent_shift": 0.3},
    ],
    ids=str,
)
def test_images_and_latents(changes: dict[str, Any]) -> None:
    ours, theirs = twins(AutoencoderTiny, **{**BASE, **changes})
    images, latents = torch.randn(2, 3, 32, 48), torch.randn(2, ours.config.latent_channels, 4, 6)
    assert_close(ours.encode(images).latents, theirs.encode(images).latents)
    assert_close(ours.decode(latents).sample, theirs.decode(latents).sample)
    assert_close(ours(images).sample, theirs(images).sample)


@torch.no_grad()
def test_tiles() -> None:
    models = twins(AutoencoderTiny, **BASE)
    for one in models:
        one.enable_tiling()
        one.tile_sample_min_size, one.tile_latent_min_size = 128, 16
    ours, theirs = models
    images, latents = torch.randn(1, 3, 200, 264), torch.randn(1, 4, 25, 33)
    assert_close(ours.encode(images).latents, theirs.encode(images).latents)
    assert_close(ours.decode(latents).sample, theirs.decode(latents).sample)


def test_default_config_and_state() -> None:
    import diffusers

    ours, theirs = AutoencoderTiny(), diffusers.AutoencoderTiny()
    public = {name: value for name, value in theirs.config.items() if not name.startswith("_")}
    found = {name: value for name, value in ours.config.items() if not name.startswith("_")}
    assert found == public
    assert {n: t.shape for n, t in ours.state_dict().items()} == {
        n: t.shape for n, t in theirs.state_dict().items()
    }


@torch.no_grad()
def test_saved_both_ways(tmp_path: Path) -> None:
    import diffusers

    ours, theirs = twins(AutoencoderTiny, **BASE)
    latents = torch.randn(1, 4, 4, 4)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        for cls in (AutoencoderTiny, diffusers.AutoencoderTiny):
            loaded = cls.from_pretrained(tmp_path / folder)
            assert_close(loaded.decode(latents).sample, theirs.decode(latents).sample)
