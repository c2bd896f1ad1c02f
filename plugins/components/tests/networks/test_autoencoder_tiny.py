"""The tiny autoencoder: sizes, tiles, and its place in a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe import AutoencoderTiny
from autopipe.errors import ArgumentError, ConfigError

Draw = Callable[..., Tensor]
TINY: dict[str, Any] = {
    "encoder_block_out_channels": (8, 8),
    "decoder_block_out_channels": (8, 8),
    "num_encoder_blocks": (1, 1),
    "num_decoder_blocks": (1, 1),
}


def make(**changes: Any) -> AutoencoderTiny:
    torch.manual_seed(0)
    return AutoencoderTiny(**{**TINY, **changes}).eval()


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_each_level_but_the_first_halves_the_size(draw: Draw, levels: int) -> None:
    counts = {f"num_{part}_blocks": (1,) * levels for part in ("encoder", "decoder")}
    widths = {f"{part}_block_out_channels": (8,) * levels for part in ("encoder", "decoder")}
    vae = make(**counts, **widths, latent_channels=5)
    latents = vae.encode(draw(2, 3, 16, 24)).latents
    factor = 2 ** (levels - 1)
    assert latents.shape == (2, 5, 16 // factor, 24 // factor)
    assert vae.decode(latents).sample.shape == (2, 3, 16, 24)


def test_without_a_dict_it_is_a_tuple(draw: Draw) -> None:
    vae, x = make(), draw(1, 3, 16, 16)
    (latents,) = vae.encode(x, return_dict=False)
    assert torch.equal(latents, vae.encode(x).latents)
    (images,) = vae.decode(latents, return_dict=False)
    assert torch.equal(images, vae.decode(latents).sample)
    assert torch.equal(vae(x, return_dict=False)[0], vae(x).sample)


def test_latents_stored_as_pictures_come_back(draw: Draw) -> None:
    vae, latents = make(), draw(1, 4, 4, 4).clamp(-2.9, 2.9)
    stored = vae.scale_latents(latents)
    assert stored.min() >= 0
    assert stored.max() <= 1
    torch.testing.assert_close(vae.unscale_latents(stored), latents)


def test_slicing_gives_the_same_result(draw: Draw) -> None:
    vae, x, z = make(), draw(3, 3, 16, 16), draw(3, 4, 8, 8)
    latents, images = vae.encode(x).latents, vae.decode(z).sample
    vae.enable_slicing()
    # Batches of another size may add up in another order.
    torch.testing.assert_close(vae.encode(x).latents, latents, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(vae.decode(z).sample, images, rtol=1e-5, atol=1e-5)


def test_tiles_cover_the_image_and_are_close_to_the_whole(draw: Draw) -> None:
    vae, x, z = make(), draw(1, 3, 48, 80), draw(1, 4, 24, 40)
    latents, images = vae.encode(x).latents, vae.decode(z).sample
    vae.tile_sample_min_size, vae.tile_latent_min_size = 32, 16
    vae.enable_tiling()
    found = vae.decode(z).sample
    assert found.shape == images.shape
    assert not torch.equal(found, images)
    # A corner doesn't see beyond the first tile.
    torch.testing.assert_close(found[..., :8, :8], images[..., :8, :8])
    assert vae.encode(x).latents.shape == latents.shape
    vae.disable_tiling()
    assert torch.equal(vae.decode(z).sample, images)


def test_training_reaches_every_parameter_with_less_memory(draw: Draw) -> None:
    vae, x = make().train(), draw(2, 3, 16, 16)
    vae.decode(vae.encode(x).latents).sample.sum().backward()
    expected = [one.grad for one in vae.parameters()]
    vae.zero_grad()
    vae.enable_gradient_checkpointing()
    vae.decode(vae.encode(x).latents).sample.sum().backward()
    for parameter, gradient in zip(vae.parameters(), expected):
        assert gradient is not None
        torch.testing.assert_close(parameter.grad, gradient)


def test_what_is_saved_comes_back(tmp_path: Path, draw: Draw) -> None:
    vae, z = make(), draw(1, 4, 8, 8)
    vae.save_pretrained(tmp_path)
    found = AutoencoderTiny.from_pretrained(tmp_path)
    assert torch.equal(found.decode(z).sample, vae.decode(z).sample)
    assert list(found.config.block_out_channels) == [8, 8]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_encoder_blocks": (1,)}, "encoder_block_out_channels"),
        ({"decoder_block_out_channels": (8, 16)}, "the same number"),
        ({"upsample_fn": "nearst"}, "mean 'nearest'"),
        ({"act_fn": "rely"}, "act_fn"),
        ({"num_decoder_blocks": (1, 10**9)}, "num_decoder_blocks"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(**changes)


def test_other_shapes_are_refused(draw: Draw) -> None:
    with pytest.raises(ArgumentError, match="images have shape"):
        make().encode(draw(1, 4, 8, 8))
    with pytest.raises(ArgumentError, match="latents have shape"):
        make().decode(draw(4, 8, 8))
