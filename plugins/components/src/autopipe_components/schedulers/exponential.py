"""The exponential integrator of the DPM-Solvers, UniPC and DEIS.

In half the log signal-to-noise ratio, λ = log(α/σ), the diffusion ODE is linear in x except for the
prediction m of the model. A step of length h from s to t is exact up to one integral:

    x_t = decay·x_s − scale · z∫₀¹ e^{(1−u)z} m(u) du + spread·noise,    λ = λ_s + u·h

The coefficients are float32 scalars, as in the authors' code: with almost no signal the formula
cancels large terms, so images agree only if the rounding does.

The solvers differ in m (clean sample or noise), in the points where they know it, and in how they
integrate it. Each integrates a polynomial through known values, so a solver is defined by its nodes
u_k and its moments, the integrals of uʲ; the weights of the values follow from these.

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
    """The weights of the clean sample (`alpha`) and of the noise (`sigma`) in a noisy sample."""

    alpha: Real
    sigma: Real

    @property
    def log_snr(self) -> Real:
        """The value λ = log(α/σ); infinite without noise."""
        return np.log(self.alpha) - np.log(self.sigma) if self.sigma else np.float32(np.inf)


@dataclass(frozen=True)
class Span:
    """A step from one noise level to another, without the integral over the prediction.

    `start` is λ at its start, `length` is h; the others are the symbols of the formula in the
    docstring of this module.
    """

    start: Real
    length: Real
    decay: Real
    scale: Real
    z: Real
    spread: Real = 0.0

    @classmethod
    def between(cls, s: NoiseLevel, t: NoiseLevel, *, clean: bool, tau: float = 0) -> Span:
        """Return the span from `s` to `t`.

        `clean` means that the prediction is the clean sample (DPM-Solver++); otherwise it is the
        noise (DPM-Solver). `tau` scales the noise of the SDE: 0 is the ODE, 1 the SDE of these
        solvers (Xue et al. 2023, "SA-Solver", arXiv:2309.05019, equations 11 and 14).
        """
        start, h = s.log_snr, t.log_snr - s.log_snr
        share = 1 + tau**2
        if clean and tau:
            spread = t.sigma * np.sqrt(-np.expm1(-2 * tau**2 * h))
            decay = t.sigma / s.sigma * np.exp(-(tau**2) * h)
            return cls(start, h, decay, t.alpha, -share * h, spread)
        if clean:
            return cls(start, h, t.sigma / s.sigma, t.alpha, -h)
        spread = tau * t.sigma * np.sqrt(np.expm1(2 * h)) if tau else 0.0
        return cls(start, h, t.alpha / s.alpha, share * t.sigma, h, spread)


def moments(z: Real, count: int) -> list[float]:
    """Return the integrals `z∫₀¹ e^{(1−u)z} uʲ du` for j = 0 ... count − 1."""
    z = float(z)  # each step of the recursion divides rounding errors by z
    if z == 0:
        return [0.0] * count
    values = [math.expm1(z)]
    for j in range(1, count):
        values.append(j * values[-1] / z - 1)
    return values


def weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Return the weights `w_k` for which `Σ w_k·u_kʲ` is the j-th moment, one j per node.

    `Σ w_k·m(u_k)` then integrates every polynomial m of lower degree. The nodes are distinct.
    """
    powers = np.vander(nodes, increasing=True).T
    values: list[float] = np.linalg.solve(powers, np.array(moments[: len(nodes)])).tolist()
    return values
