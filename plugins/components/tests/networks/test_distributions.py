from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from autopipe_components.networks.distributions import DiagonalGaussianDistribution


@pytest.fixture
def moments() -> torch.Tensor:
    return torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))


def test_moments_are_means_and_clamped_log_variances() -> None:
    moments = torch.tensor([1.0, 2.0, -99.0, 99.0]).reshape(1, 4, 1, 1)
    found = DiagonalGaussianDistribution(moments)
    assert found.mode().flatten().tolist() == [1, 2]
    assert found.logvar.flatten().tolist() == [-30, 20]
    torch.testing.assert_close(found.std**2, found.var)


def test_a_draw_is_scaled_noise(moments: torch.Tensor) -> None:
    found = DiagonalGaussianDistribution(moments)
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(7))
    drawn = found.sample(torch.Generator().manual_seed(7))
    torch.testing.assert_close(drawn, found.mean + found.std * noise)


def test_each_sample_may_have_its_generator(moments: torch.Tensor) -> None:
    drawn = DiagonalGaussianDistribution(moments).sample(
        [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    )
    for i, seed in enumerate((1, 2)):
        alone = DiagonalGaussianDistribution(moments[i : i + 1])
        assert torch.equal(drawn[i], alone.sample(torch.Generator().manual_seed(seed))[0])


def test_divergences_are_those_of_normal_distributions(moments: torch.Tensor) -> None:
    a, b = DiagonalGaussianDistribution(moments), DiagonalGaussianDistribution(-moments.flip(1))
    p, q = Normal(a.mean, a.std), Normal(b.mean, b.std)
    standard = Normal(torch.zeros(()), torch.ones(()))
    torch.testing.assert_close(a.kl(), kl_divergence(p, standard).sum(dim=(1, 2, 3)))
    torch.testing.assert_close(a.kl(b), kl_divergence(p, q).sum(dim=(1, 2, 3)))
    torch.testing.assert_close(a.kl(a), torch.zeros(2))


def test_likelihood_is_that_of_a_normal_distribution(moments: torch.Tensor) -> None:
    found = DiagonalGaussianDistribution(moments)
    x = torch.ones(2, 3, 4, 4)
    expected = -Normal(found.mean, found.std).log_prob(x)
    torch.testing.assert_close(found.nll(x), expected.sum(dim=(1, 2, 3)))
    torch.testing.assert_close(found.nll(x, dims=[1]), expected.sum(dim=1))


def test_without_spread_every_draw_is_the_mean(moments: torch.Tensor) -> None:
    found = DiagonalGaussianDistribution(moments, deterministic=True)
    assert torch.equal(found.sample(), found.mode())
    assert found.kl().tolist() == [0.0]
    assert found.nll(found.mean).tolist() == [0.0]
