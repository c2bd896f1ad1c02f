from __future__ import annotations

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.steps.text2image import start_from_noise

SHAPE = (2, 4, 3, 5)
PLACE = {"dtype": torch.float32, "device": "cpu"}


def test_a_list_draws_as_single_calls_would():
    both = start_from_noise(
        SHAPE,
        generator=[torch.Generator().manual_seed(s) for s in (1, 2)],
        init_noise_sigma=1.0,
        **PLACE,
    )
    second = start_from_noise(
        (1, *SHAPE[1:]), generator=torch.Generator().manual_seed(2), init_noise_sigma=1.0, **PLACE
    )
    assert torch.equal(both[1:], second)


def test_given_latents_are_scaled_and_draw_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    given = torch.ones(SHAPE, dtype=torch.float64)
    found = start_from_noise(
        SHAPE, generator=generator, init_noise_sigma=3.0, latents=given, **PLACE
    )
    assert found.dtype == torch.float32
    assert (found == 3).all()
    assert torch.equal(generator.get_state(), before)


def test_what_does_not_fit():
    with pytest.raises(ArgumentError, match=r"\(2, 4, 3, 4\).*\(2, 4, 3, 5\)"):
        start_from_noise(SHAPE, init_noise_sigma=1.0, latents=torch.ones(2, 4, 3, 4), **PLACE)
    with pytest.raises(ArgumentError, match="1 generators for a batch of 2"):
        start_from_noise(SHAPE, init_noise_sigma=1.0, generator=[torch.Generator()], **PLACE)
