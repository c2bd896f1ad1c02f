from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe import PaellaVQModel, WuerstchenDiffNeXt, WuerstchenPrior
from autopipe.errors import ArgumentError, ConfigError


@pytest.mark.parametrize(
    ("network", "entry"),
    [
        (WuerstchenPrior, {"c": 1 << 40}),
        (WuerstchenPrior, {"depth": 1 << 20}),
        (WuerstchenPrior, {"nhead": 7}),
        (WuerstchenPrior, {"nhead": 0}),
        (WuerstchenPrior, {"c_r": 2}),
        (WuerstchenDiffNeXt, {"c_hidden": [1 << 30] * 4}),
        (WuerstchenDiffNeXt, {"blocks": [1 << 20] * 4}),
        (WuerstchenDiffNeXt, {"blocks": [1, 1]}),
        (WuerstchenDiffNeXt, {"level_config": ["CT", "CTA", "CTA", "X"]}),
        (WuerstchenDiffNeXt, {"level_config": ["C" * 99] * 4}),
        (WuerstchenDiffNeXt, {"nhead": [-1, -1, 20, 20]}),
        (WuerstchenDiffNeXt, {"patch_size": 1 << 20}),
        (WuerstchenDiffNeXt, {"kernel_size": 2}),
        (WuerstchenDiffNeXt, {"dropout": [0.1]}),
        (PaellaVQModel, {"levels": 1 << 20}),
        (PaellaVQModel, {"bottleneck_blocks": 1 << 20}),
        (PaellaVQModel, {"num_vq_embeddings": 1 << 40}),
        (PaellaVQModel, {"scale_factor": 0.0}),
    ],
    ids=str,
)
def test_a_config_that_makes_no_network_is_refused(network: Any, entry: dict[str, Any]) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=next(iter(entry))):
        network(**entry)


def test_other_channels_are_refused(parts: dict[str, Any]) -> None:
    wrong, times = torch.ones(1, 3, 8, 8), torch.ones(1)
    with pytest.raises(ArgumentError, match="x must be a tensor"):
        parts["prior_prior"](wrong, times, torch.ones(1, 5, 16))
    with pytest.raises(ArgumentError, match="x must be a tensor"):
        parts["decoder"](wrong, times, torch.ones(1, 4, 2, 2))
    with pytest.raises(ArgumentError, match="this autoencoder takes 4 channels"):
        parts["vqgan"].decode(wrong)


def test_gradient_checkpointing_gives_the_same_gradients(parts: dict[str, Any]) -> None:
    prior = WuerstchenPrior.from_config(parts["prior_prior"].config)
    prior.load_state_dict(parts["prior_prior"].state_dict())
    gradients = []
    for switch in (prior.disable_gradient_checkpointing, prior.enable_gradient_checkpointing):
        switch()
        prior.zero_grad()
        prior.eval()(torch.ones(1, 4, 3, 3), torch.ones(1), torch.ones(1, 5, 16)).sum().backward()
        gradients.append(prior.projection.weight.grad.clone())
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_mean_and_deviation_instead_of_noise(parts: dict[str, Any]) -> None:
    x, times, image = torch.ones(1, 4, 8, 8), torch.ones(1), torch.ones(1, 4, 2, 2)
    texts = torch.ones(1, 5, 16)
    mean, deviation = parts["decoder"](x, times, image, texts, return_noise=False)
    noise = parts["decoder"](x, times, image, texts)
    torch.testing.assert_close(noise, (x - mean) / deviation)
