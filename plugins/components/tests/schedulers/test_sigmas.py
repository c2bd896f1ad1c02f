"""Noise levels: where they begin and end, and that level and timestep are inverse to each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autopipe_components.schedulers import sigmas
from autopipe_components.schedulers.betas import scaled_linear

TRAIN = sigmas.sigmas_of(torch.cumprod(1 - scaled_linear(1000, 0.00085, 0.012), 0))


@pytest.mark.parametrize("kind", [sigmas.karras, sigmas.exponential, sigmas.beta, sigmas.lu])
def test_kinds_descend_between_their_ends(kind: object) -> None:
    levels = kind(14.6, 0.03, 12)  # type: ignore[operator]
    assert levels[[0, -1]] == pytest.approx([14.6, 0.03])
    assert (np.diff(levels) < 0).all()
    assert len(levels) == 12


def test_timesteps_of_levels_invert_levels_of_timesteps() -> None:
    timesteps = np.array([999.0, 700.0, 412.0, 3.0, 0.0])
    found = sigmas.timesteps_of(sigmas.interpolated(timesteps, TRAIN), TRAIN)
    np.testing.assert_allclose(found, timesteps, atol=1e-3)  # float32 levels


def test_levels_outside_the_trained_ones_are_clipped() -> None:
    np.testing.assert_allclose(sigmas.timesteps_of(np.array([1e4, 0.0]), TRAIN), [999, 0])


def test_respaced_follows_flags_and_bounds() -> None:
    levels = sigmas.interpolated(np.array([999.0, 500.0, 0.0]), TRAIN)
    assert sigmas.respaced({"use_karras_sigmas": False}, levels, 3) is None
    free = sigmas.respaced({"use_karras_sigmas": True}, levels, 5)
    bound = sigmas.respaced({"use_karras_sigmas": True, "sigma_max": 8.0}, levels, 5)
    assert free is not None
    assert bound is not None
    assert free[[0, -1]] == pytest.approx(levels[[0, -1]])
    assert bound[[0, -1]] == pytest.approx([8.0, levels[-1]])


def test_ancestral_split_keeps_the_variance() -> None:
    sigma, following = np.array([4096.0, 14.0, 3.0]), np.array([13.0, 7.0, 0.0])
    down, up = sigmas.ancestral_split(sigma, following)
    np.testing.assert_allclose(down**2 + up**2, following**2)
    assert (down < following + 1e-12).all()
