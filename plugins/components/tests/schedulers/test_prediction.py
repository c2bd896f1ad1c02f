"""What the network predicts, in each of its forms, is the same sample and the same noise."""

from __future__ import annotations

import pytest
import torch

from autopipe_components.schedulers.prediction import (
    original_of_sigma,
    predicted_noise,
    predicted_original,
)

CLEAN, NOISE = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))


def output_of(kind: str, alpha: float, sigma: float) -> torch.Tensor:
    return {
        "epsilon": NOISE,
        "sample": CLEAN,
        "v_prediction": alpha * NOISE - sigma * CLEAN,
        "flow_prediction": NOISE - CLEAN,
    }[kind]


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction", "flow_prediction"])
def test_both_parts_are_found(kind: str) -> None:
    sigma = 0.6
    alpha = 0.4 if kind == "flow_prediction" else 0.8
    sample, output = alpha * CLEAN + sigma * NOISE, output_of(kind, alpha, sigma)
    torch.testing.assert_close(predicted_original(kind, output, sample, alpha, sigma), CLEAN)
    torch.testing.assert_close(predicted_noise(kind, output, sample, alpha, sigma), NOISE)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_original_in_the_exploding_view(kind: str) -> None:
    sigma = 0.75  # of alpha 0.8 and sigma 0.6
    found = original_of_sigma(kind, output_of(kind, 0.8, 0.6), CLEAN + sigma * NOISE, sigma)
    torch.testing.assert_close(found, CLEAN)
