"""How the demo upscaler is made: from the demo, whose latents its autoencoder enlarges."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe import AutoPipelineForUpscaling, DiffusionPipeline


@pytest.fixture
def train() -> Any:
    """The training code."""
    from upscale_demo import train

    return train


def test_what_is_shipped_is_what_is_trained(train: Any) -> None:
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion")
    new, shipped = train.new_unet(pipe), AutoPipelineForUpscaling.from_pretrained("demo:upscale")
    shapes = [{n: one.shape for n, one in u.state_dict().items()} for u in (new, shipped.unet)]
    assert shapes[0] == shapes[1]


def test_a_widened_network_begins_as_the_one_it_is_made_of(train: Any) -> None:
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion", torch_dtype=torch.float32)
    seen, prompt = torch.randn(2, 7, 8, 8), torch.randn(2, 5, 96)
    expected = pipe.unet(seen[:, :4], 500, prompt).sample
    found = train.new_unet(pipe)(seen, 500, prompt, class_labels=torch.tensor([3, 300])).sample
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_autoencoder_maps_the_same_pictures_to_larger_latents(train: Any) -> None:
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion", torch_dtype=torch.float32)
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    before = pipe.vae.encode(pixels).latent_dist
    scaled, spread = before.mean * pipe.vae.config.scaling_factor, before.std / before.mean.std()
    decoded = pipe.vae.decode(before.mean).sample
    larger = train.rescaled(pipe.vae)
    after = larger.encode(pixels).latent_dist
    assert torch.allclose(after.mean * train.SCALING, scaled, atol=1e-4)
    assert torch.allclose(after.std / after.mean.std(), spread, atol=1e-4)
    assert torch.allclose(larger.decode(after.mean).sample, decoded, atol=1e-4)
