"""The distribution that an encoder predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node

from ..noise import randn_tensor

Generators = torch.Generator | list[torch.Generator] | None


class DiagonalGaussianDistribution:
    """Independent normal distributions, from means and log-variances stacked in dimension 1.

    Attributes:
        parameters: the output of the encoder, (B, 2 * C, H, W).
        mean, logvar, std, var: (B, C, H, W); the log-variance is clamped to [-30, 20].
        deterministic: whether the variance is zero, so that samples are the mean.
    """

    def __init__(self, parameters: Tensor, deterministic: bool = False) -> None:
        self.parameters = parameters
        self.deterministic = deterministic
        self.mean, logvar = parameters.chunk(2, dim=1)
        self.logvar = logvar.clamp(-30.0, 20.0)
        self.std = torch.zeros_like(self.mean) if deterministic else (0.5 * self.logvar).exp()
        self.var = torch.zeros_like(self.mean) if deterministic else self.logvar.exp()

    def sample(self, generator: Generators = None) -> Tensor:
        """Draw a sample, (B, C, H, W).

        Args:
            generator: one generator, or a list with one for each of the B samples.
        """
        mean = self.mean
        noise = randn_tensor(mean.shape, generator, device=mean.device, dtype=mean.dtype)
        return mean + self.std * noise

    def mode(self) -> Tensor:
        """Return the most likely value, which is the mean."""
        return self.mean

    def kl(self, other: DiagonalGaussianDistribution | None = None) -> Tensor:
        """Return the Kullback-Leibler divergence (B,) from `other`, by default standard normal."""
        if self.deterministic:
            return self.mean.new_zeros(1)
        if other is None:
            terms = self.mean**2 + self.var - 1.0 - self.logvar
        else:
            distance = (self.mean - other.mean) ** 2 + self.var
            terms = distance / other.var - 1.0 - self.logvar + other.logvar
        return 0.5 * terms.sum(dim=(1, 2, 3))

    def nll(self, sample: Tensor, dims: Sequence[int] = (1, 2, 3)) -> Tensor:
        """Return the negative log-likelihood of `sample`, in nats, summed over `dims`."""
        if self.deterministic:
            return self.mean.new_zeros(1)
        terms = math.log(2 * math.pi) + self.logvar + (sample - self.mean) ** 2 / self.var
        return 0.5 * terms.sum(dim=tuple(dims))


# So that code which traverses nested results finds its one tensor.
register_pytree_node(
    DiagonalGaussianDistribution,
    lambda one: ([one.parameters], one.deterministic),
    lambda tensors, deterministic: DiagonalGaussianDistribution(next(iter(tensors)), deterministic),
    serialized_type_name=(
        f"{DiagonalGaussianDistribution.__module__}.{DiagonalGaussianDistribution.__qualname__}"
    ),
)
