"""The exponential integrator that the DPM-Solvers, UniPC and DEIS share.

Over the half log signal-to-noise ratio λ = log(α/σ) the diffusion ODE is linear in x but for the
model's prediction m, so a step of length h from s to t is exact except for one integral:

    x_t = decay·x_s − scale · z∫₀¹ e^{(1−u)z} m(u) du + spread·noise,    λ = λ_s + u·h

The coefficients are scalars of float32, as those of the authors' code are: where there is hardly
any signal, the formula cancels large terms, and images only agree if these are rounded alike.

The solvers differ in what m is (clean sample or noise), in where they know it, and in how they
integrate it. Each integrates a polynomial through known values, so a solver is given by its
nodes u_k and its moments, the integrals of uʲ; the weights of the values follow from the two.

Lu et al., DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .prediction import Real


class NoiseLevel(NamedTuple):
    """How much of the clean sample (`alpha`) and of the noise (`sigma`) a noisy one holds."""

    alpha: Real
    sigma: Real

    @property
    def log_snr(self) -> Real:
        """λ = log(α/σ); infinite where there is no noise left."""
        return np.log(self.alpha) - np.log(self.sigma) if self.sigma else np.float32(np.inf)


@dataclass(frozen=True)
class Span:
    """A step from one noise level to another, less the integral over the model's prediction.

    `start` is λ at its beginning, `length` is h; the rest are the symbols of the module's formula.
    """

    start: Real
    length: Real
    decay: Real
    scale: Real
    z: Real
    spread: Real = 0.0

    @classmethod
    def between(cls, s: NoiseLevel, t: NoiseLevel, *, clean: bool, stochastic: bool) -> Span:
        """The span from `s` to `t` for a solver of the ODE or, if `stochastic`, of the SDE.

        `clean` says that the model's prediction is the clean sample (DPM-Solver++), else it is
        the noise (DPM-Solver).
        """
        start, h = s.log_snr, t.log_snr - s.log_snr
        if clean and stochastic:
            spread = t.sigma * np.sqrt(-np.expm1(-2 * h))
            return cls(start, h, t.sigma / s.sigma * np.exp(-h), t.alpha, -2 * h, spread)
        if clean:
            return cls(start, h, t.sigma / s.sigma, t.alpha, -h)
        if stochastic:
            spread = t.sigma * np.sqrt(np.expm1(2 * h))
            return cls(start, h, t.alpha / s.alpha, 2 * t.sigma, h, spread)
        return cls(start, h, t.alpha / s.alpha, t.sigma, h)


def moments(z: Real, count: int) -> list[float]:
    """The integrals `z∫₀¹ e^{(1−u)z} uʲ du` for j = 0 ... count − 1."""
    z = float(z)  # the recursion divides rounding errors by z each time
    if z == 0:
        return [0.0] * count
    found = [math.expm1(z)]
    for j in range(1, count):
        found.append(j * found[-1] / z - 1)
    return found


def weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """The `w_k` for which `Σ w_k·u_kʲ` is the j-th moment, for as many j as there are nodes.

    So `Σ w_k·m(u_k)` integrates every polynomial m of lower degree. The nodes are distinct.
    """
    powers = np.vander(nodes, increasing=True).T
    found: list[float] = np.linalg.solve(powers, np.array(moments[: len(nodes)])).tolist()
    return found
