from __future__ import annotations

import math

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.networks.embeddings import (
    FourierTimesteps,
    TimestepEmbedding,
    Timesteps,
)


def test_frequencies_fall_from_one_to_a_ten_thousandth() -> None:
    embed = Timesteps(4, flip_sin_to_cos=False, downscale_freq_shift=1)
    found = embed(torch.tensor([3, 500]))
    expected = [[math.sin(t), math.sin(t / 1e4), math.cos(t), math.cos(t / 1e4)] for t in (3, 500)]
    # float32 represents an angle of 500 to 3e-5.
    torch.testing.assert_close(found, torch.tensor(expected), atol=5e-5, rtol=0)


def test_flipping_swaps_the_halves() -> None:
    t = torch.tensor([1, 20, 300])
    sines_first = Timesteps(6, flip_sin_to_cos=False, downscale_freq_shift=0)(t)
    cosines_first = Timesteps(6, flip_sin_to_cos=True, downscale_freq_shift=0)(t)
    assert torch.equal(cosines_first, sines_first.roll(3, dims=1))


def test_an_odd_width_ends_in_a_zero() -> None:
    found = Timesteps(5, flip_sin_to_cos=True, downscale_freq_shift=0)(torch.tensor([0]))
    assert found.tolist() == [[1, 1, 0, 0, 0]]


def test_fourier_frequencies_are_saved_and_not_trained() -> None:
    embed = FourierTimesteps(3, flip_sin_to_cos=True)
    assert [name for name, p in embed.named_parameters() if not p.requires_grad] == ["weight"]
    found = embed(torch.tensor([0.0]))
    assert found.tolist() == [[1, 1, 1, 0, 0, 0]]


def test_a_condition_is_projected_and_added_to_the_input() -> None:
    torch.manual_seed(0)
    embed = TimestepEmbedding(4, 8, cond_proj_dim=3)
    x, condition = torch.randn(2, 4), torch.randn(2, 3)
    assert embed.cond_proj is not None
    torch.testing.assert_close(embed(x, condition), embed(x + embed.cond_proj(condition)))


def test_a_condition_without_its_projection_is_refused() -> None:
    with pytest.raises(ArgumentError, match="time_cond_proj_dim"):
        TimestepEmbedding(4, 8)(torch.zeros(1, 4), torch.zeros(1, 3))
