from __future__ import annotations

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.steps.image2image import add_noise, encode_start

PLACE = {"dtype": torch.float32, "device": "cpu"}


def test_one_generator_encodes_what_is_given_and_repeats_it(codec):
    image = torch.rand(2, 3, 8, 8)
    generator = torch.Generator().manual_seed(0)
    latents = encode_start(codec, image, batch_size=4, generator=generator, **PLACE)
    assert torch.equal(latents[:2], latents[2:])
    assert torch.equal(latents[:2], codec.encode(image, torch.Generator().manual_seed(0)))


def test_a_list_encodes_every_sample(codec):
    image = torch.rand(1, 3, 8, 8)
    generators = [torch.Generator().manual_seed(s) for s in (1, 2)]
    latents = encode_start(codec, image, batch_size=2, generator=generators, **PLACE)
    for seed, found in zip((1, 2), latents.split(1)):
        assert torch.equal(found, codec.encode(image, torch.Generator().manual_seed(seed)))


def test_a_list_may_encode_only_what_is_given(codec):
    image = torch.rand(1, 3, 8, 8)
    generators = [torch.Generator().manual_seed(s) for s in (1, 2)]
    options = {"generator": generators, "repeats_first": False, **PLACE}
    first, second = encode_start(codec, image, batch_size=2, **options).split(1)
    assert torch.equal(first, codec.encode(image, torch.Generator().manual_seed(1)))
    assert torch.equal(first, second)


def test_the_noise_has_the_level_of_the_timestep(scheduler):
    clean = torch.ones(2, 4, 2, 2)
    drawn = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    found = add_noise(scheduler, clean, timestep=torch.tensor(250), generator=generator)
    # The scheduler of these tests mixes in floating point.
    torch.testing.assert_close(found, 0.75 * clean + 0.25 * drawn, rtol=0, atol=1e-6)


def test_images_that_do_not_divide_the_batch(codec):
    for images in (2, 4):
        with pytest.raises(ArgumentError, match=f"{images} images can't be spread"):
            encode_start(codec, torch.rand(images, 3, 8, 8), batch_size=3, **PLACE)
