from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.steps.codec import (
    PixelCodec,
    VaeCodec,
    are_latents,
    encode_images,
    tile,
)


class HalfBlind(torch.nn.Module):
    """A decoder whose values overflow in float16."""

    config = SimpleNamespace(scaling_factor=0.5, latent_channels=4, block_out_channels=(1, 1, 1))

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), 300.0))

    def decode(self, latents):
        large = latents * self.weight * 300.0
        return SimpleNamespace(sample=large / 90000.0)


def test_a_decode_that_overflows_is_repeated_in_float32(caplog):
    vae = HalfBlind().half()
    latents = torch.ones(1, 4, 2, 2, dtype=torch.float16)
    image = VaeCodec(vae).decode(latents)
    assert image.dtype == torch.float16
    assert torch.equal(image, torch.full_like(image, 2.0))
    assert "float32" in caplog.text
    assert vae.weight.dtype == torch.float16, "the shared weights must stay as they are"


class Plain(torch.nn.Module):
    """Encodes to its own weight and decodes to its input, each in the weight's dtype."""

    def __init__(self, **config):
        super().__init__()
        self.config = SimpleNamespace(
            scaling_factor=0.5, latent_channels=4, block_out_channels=(1,), **config
        )
        self.weight = torch.nn.Parameter(torch.arange(4.0).reshape(1, 4, 1, 1))

    def encode(self, image):
        assert image.dtype == self.weight.dtype
        latents = self.weight * image.mean()
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda generator: latents))

    def decode(self, latents):
        assert latents.dtype == self.weight.dtype
        return SimpleNamespace(sample=latents)


def test_latents_are_normalised_by_their_statistics_and_back():
    mean, deviation = (1.0, 2.0, 3.0, 4.0), (2.0, 4.0, 8.0, 16.0)
    codec = VaeCodec(Plain(latents_mean=mean, latents_std=deviation))
    latents = codec.encode(torch.ones(1, 3, 2, 2))
    # (k - mean) / deviation * scale, for k = 0, 1, 2, 3
    expected = torch.tensor([-0.25, -0.125, -0.0625, -0.03125])
    assert torch.equal(latents.flatten(), expected)
    assert torch.equal(codec.decode(latents).flatten(), torch.arange(4.0))


def test_one_statistic_alone_is_not_used():
    latents = VaeCodec(Plain(latents_mean=(1.0,) * 4)).encode(torch.ones(1, 3, 2, 2))
    assert torch.equal(latents.flatten(), torch.arange(4.0) * 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("upcasts", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_force_upcast_is_for_families_that_heed_it(dtype, upcasts, force):
    vae = Plain(force_upcast=force).to(dtype)
    codec = VaeCodec(vae, upcasts=upcasts)
    image = torch.ones(1, 3, 2, 2, dtype=dtype)
    latents = codec.encode(image)
    assert latents.dtype == dtype
    upcast = upcasts and force and dtype == torch.float16
    assert codec.decode(latents).dtype == (torch.float32 if upcast else dtype)
    assert vae.weight.dtype == dtype, "the shared weights must stay as they are"


def test_the_factor_comes_from_the_depth():
    assert VaeCodec(HalfBlind()).factor == 4


def test_each_image_of_a_list_draws_by_itself(codec):
    image = torch.rand(2, 3, 8, 8)
    together = encode_images(codec, image, [torch.Generator().manual_seed(s) for s in (1, 2)])
    alone = codec.encode(image[1:], torch.Generator().manual_seed(2))
    assert torch.equal(together[1:], alone)


def test_more_images_than_generators(codec):
    with pytest.raises(ArgumentError, match="2 images and 1 generators"):
        encode_images(codec, torch.rand(2, 3, 8, 8), [torch.Generator()])


def test_what_counts_as_latents(codec):
    assert are_latents(codec, torch.rand(1, 4, 2, 2))
    assert not are_latents(codec, torch.rand(1, 3, 2, 2))
    assert not are_latents(PixelCodec(), torch.rand(1, 3, 2, 2))
    given = torch.rand(1, 4, 2, 2)
    assert encode_images(codec, given, None) is given


def test_tiling_repeats_the_whole():
    assert tile(torch.tensor([1, 2]), 4, "images").tolist() == [1, 2, 1, 2]
    for batch in (1, 3):
        with pytest.raises(ArgumentError, match="2 images can't be spread"):
            tile(torch.tensor([1, 2]), batch, "images")


@pytest.fixture
def vae():
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    ).requires_grad_(False)


def test_another_scaling_takes_the_place_of_the_configs(vae):
    pixels = torch.rand(1, 3, 16, 16) * 2 - 1
    own, other = VaeCodec(vae), VaeCodec(vae, scaling=2.0)
    latents = own.encode(pixels, torch.Generator().manual_seed(0))
    scaled = other.encode(pixels, torch.Generator().manual_seed(0))
    assert torch.allclose(scaled, latents * 2.0 / vae.config.scaling_factor, atol=1e-5)
    assert torch.allclose(other.decode(scaled), own.decode(latents), atol=1e-5)


def test_the_mode_is_not_scaled_and_nothing_is_drawn(vae):
    pixels = torch.rand(1, 3, 16, 16) * 2 - 1
    mode = vae.encode(pixels).latent_dist.mode()
    assert torch.equal(VaeCodec(vae, scaling=3.0).encode_mode(pixels), mode)
