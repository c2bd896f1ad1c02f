"""Noise levels in the variance-exploding view: x = x0 + sigma * noise.

All of them are computed in numpy with float64; schedulers cast the result to float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor


def sigmas_of(alphas_cumprod: Tensor) -> np.ndarray:
    """Return the noise levels of all training timesteps, ascending, float32."""
    sigmas: np.ndarray = (((1 - alphas_cumprod) / alphas_cumprod) ** 0.5).cpu().numpy()
    return sigmas


def interpolated(timesteps: np.ndarray, train_sigmas: np.ndarray) -> np.ndarray:
    """Return the noise levels at (fractional) `timesteps`, interpolated linearly."""
    sigmas: np.ndarray = np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas)
    return sigmas


def timesteps_of(sigmas: np.ndarray, train_sigmas: np.ndarray) -> np.ndarray:
    """Return the fractional timesteps of `sigmas`, interpolated in log sigma.

    They are clipped to the training timesteps.
    """
    log_sigmas, known = np.log(np.maximum(sigmas, 1e-10)), np.log(train_sigmas)
    low = np.clip(np.searchsorted(known, log_sigmas, side="right") - 1, 0, len(known) - 2)
    weight = (log_sigmas - known[low]) / (known[low + 1] - known[low])
    timesteps: np.ndarray = low + np.clip(weight, 0, 1)
    return timesteps


def karras(sigma_max: float, sigma_min: float, count: int, rho: float = 7.0) -> np.ndarray:
    """Return noise levels evenly spaced in sigma^(1/rho).

    Karras et al. 2022, arXiv:2206.00364, equation 5.
    """
    return np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), count) ** rho


def exponential(sigma_max: float, sigma_min: float, count: int) -> np.ndarray:
    """Return noise levels evenly spaced in log sigma."""
    return np.exp(np.linspace(np.log(sigma_max), np.log(sigma_min), count))


def beta(
    sigma_max: float, sigma_min: float, count: int, a: float = 0.6, b: float = 0.6
) -> np.ndarray:
    """Return noise levels at the quantiles of a beta distribution.

    Lee et al. 2024, "Beta Sampling", arXiv:2407.12173.
    """
    from scipy.special import betaincinv  # imported here, because importing scipy is slow

    parts: np.ndarray = betaincinv(a, b, 1 - np.linspace(0, 1, count))
    return sigma_min + parts * (sigma_max - sigma_min)


def lu(sigma_max: float, sigma_min: float, count: int) -> np.ndarray:
    """Return noise levels evenly spaced in lambda = -log sigma.

    Lu et al. 2022, DPM-Solver, arXiv:2206.00927.
    """
    return exponential(sigma_max, sigma_min, count)


_KINDS = {
    "use_karras_sigmas": karras,
    "use_lu_lambdas": lu,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": beta,
}


def respaced(config: Mapping[str, Any], sigmas: np.ndarray, count: int) -> np.ndarray | None:
    """Return `count` noise levels of the kind that `config` sets; None if it sets none.

    They go from the first to the last of the descending `sigmas`, or from `sigma_max` to
    `sigma_min` of `config` where these are set.
    """
    for flag, kind in _KINDS.items():
        if config.get(flag):
            highest, lowest = config.get("sigma_max"), config.get("sigma_min")
            return kind(
                float(sigmas[0]) if highest is None else highest,
                float(sigmas[-1]) if lowest is None else lowest,
                count,
            )
    return None


def ancestral_split(sigma: Any, following: Any) -> tuple[Any, Any]:
    """Return the level to step down to from `sigma`, and the noise to add to reach `following`.

    Arguments are scalars or arrays. Squares add up: down^2 + up^2 = following^2. Since up^2 is
    following^2 (sigma^2 - following^2) / sigma^2, down is following^2 / sigma; computing it as
    sqrt(following^2 - up^2) would lose all digits for large sigma, as with zero terminal SNR.
    """
    ratio = following / sigma
    return following * ratio, following * np.sqrt(1 - ratio**2)
