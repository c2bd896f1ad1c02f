"""Beta schedules are noise schedules, and zero terminal SNR is zero."""

from __future__ import annotations

import pytest
import torch

from autopipe_components.schedulers.betas import (
    BETA_SCHEDULES,
    MAX_BETA,
    rescale_zero_terminal_snr,
    trained,
)


@pytest.mark.parametrize("name", BETA_SCHEDULES)
def test_every_schedule_destroys_the_signal_step_by_step(name: str) -> None:
    betas = BETA_SCHEDULES[name](1000, 0.00085, 0.012)
    alpha_bar = torch.cumprod(1 - betas, 0)
    assert betas.shape == (1000,)
    assert betas.dtype == torch.float32
    assert betas.min() >= 0
    assert betas.max() <= MAX_BETA + 1e-6  # float32 of the bound
    assert (alpha_bar.diff() <= 0).all()
    assert alpha_bar[-1] < 0.1


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "sigmoid"])
def test_bounds_are_reached(name: str) -> None:
    betas = BETA_SCHEDULES[name](100, 0.001, 0.02)
    # A sigmoid over [-6, 6] stops 0.25 % of the range short of either end.
    slack = 0.0026 * 0.019 if name == "sigmoid" else 1e-7
    torch.testing.assert_close(betas[[0, -1]], torch.tensor([0.001, 0.02]), atol=slack, rtol=0)


def test_rescaling_ends_in_pure_noise_and_keeps_the_start() -> None:
    betas = BETA_SCHEDULES["scaled_linear"](1000, 0.00085, 0.012)
    before, after = (torch.cumprod(1 - b, 0) for b in (betas, rescale_zero_terminal_snr(betas)))
    assert after[-1] == 0
    torch.testing.assert_close(after[0], before[0])
    assert (after[1:] < before[1:]).all()


def test_trained_betas_are_taken_as_they_are() -> None:
    assert trained(None, [0.1, 0.2]).tolist() == pytest.approx([0.1, 0.2])
