"""Checks the options of schedulers, so that an invalid config is detected when it is loaded."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from autopipe.errors import SchedulerError, nearest
from autopipe.values import Range
from autopipe.wording import listed, shown

MOST_STEPS = 1 << 17
"""Upper limit of the number of timesteps, far above that of any published network."""

STEPS = Range(1, MOST_STEPS)
BETA = Range(0, 1)
SHARE = Range(0, 1)
SIGMA = Range(0, 1e9)
LEAST_SIGMA = 1e-9
"""Lower limit of the noise levels of a schedule, far below that of any published network."""

LENGTH = Range(1, 1 << 30)

LIMITS: Mapping[str, Range] = {
    "num_train_timesteps": STEPS,
    "original_inference_steps": STEPS,
    "solver_order": STEPS,
    "steps_offset": Range(0, MOST_STEPS),
    "beta_start": BETA,
    "beta_end": BETA,
    "trained_betas": BETA,
    "sigma_min": SIGMA,
    "sigma_max": SIGMA,
    "dynamic_thresholding_ratio": Range(0, 1),
    "clip_sample_range": Range(0),
    "sample_max_value": Range(above=0),
    "timestep_scaling": Range(0, 1e9),
    "flow_shift": Range(high=1e9, above=0),
    "shift_terminal": Range(0, 0.9999),
    "shift": Range(high=1e9, above=0),
    "base_shift": Range(-100, 100),
    "max_shift": Range(-100, 100),
    "base_image_seq_len": LENGTH,
    "max_image_seq_len": LENGTH,
    "scale_factors": Range(high=64, above=0),
    "sigma_data": Range(high=1e9, above=0),
    "noise_sampler_seed": Range(0, 2**63 - 1),
    "predictor_order": STEPS,
    "corrector_order": STEPS,
    "num_vec_classes": Range(2, 1 << 20),
    "scaler": Range(high=1e3, above=0),
    "s": Range(0, 1),
    "alpha_cum_start": SHARE,
    "alpha_cum_end": SHARE,
    "gamma_cum_start": SHARE,
    "gamma_cum_end": SHARE,
    # Noise levels to the power of 1 / rho are float32.
    "rho": Range(0.25, 1e3),
}
"""Limits of the numbers in the configs of schedulers, for all classes."""

SIGMA_KINDS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")

LEARNED_VARIANCES = ("learned", "learned_range")
VARIANCE_TYPES = (
    "fixed_small",
    "fixed_small_log",
    "fixed_large",
    "fixed_large_log",
    *LEARNED_VARIANCES,
    None,
)


def check_choice(owner: object, option: str, value: object, allowed: Collection[object]) -> None:
    """Raise `SchedulerError` unless `value` is one of `allowed`."""
    if value not in list(allowed):
        known = listed(map(repr, allowed))
        hint = nearest(str(value), [str(choice) for choice in allowed])
        raise SchedulerError(
            f"{type(owner).__name__} has no {option} {shown(value)}; give one of {known}.{hint}"
        )


def check_count(owner: object, option: str, value: object) -> None:
    """Raise `SchedulerError` unless `value` can be the number of timesteps of a schedule."""
    try:
        count = 0 if isinstance(value, (bool, Tensor)) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if count not in STEPS:
        raise SchedulerError(
            f"{type(owner).__name__} needs a whole number{STEPS} as {option}, not {shown(value)}"
        )


def check_sigma_range(owner: object, lowest: float, highest: float) -> None:
    """Raise `SchedulerError` unless noise levels can go from `lowest` to `highest`."""
    if not LEAST_SIGMA <= lowest <= highest:
        raise SchedulerError(
            f"{type(owner).__name__} has sigma_min={lowest:g} and sigma_max={highest:g}; they must "
            f"be at least {LEAST_SIGMA:g}, and in this order"
        )


def check_sigma_kind(owner: object, config: Mapping[str, Any]) -> None:
    """Raise `SchedulerError` if `config` sets more than one kind of sigmas."""
    kinds = [kind for kind in SIGMA_KINDS if config.get(kind)]
    if len(kinds) > 1:
        raise SchedulerError(
            f"{type(owner).__name__} got {' and '.join(kinds)}; set at most one of them"
        )


def check_one_schedule(owner: object, **given: object) -> None:
    """Raise `SchedulerError` unless exactly one of the arguments for a schedule is not None."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) if named else "none"
        raise SchedulerError(
            f"{type(owner).__name__}.set_timesteps takes exactly one of {', '.join(given)}; "
            f"it got {got}"
        )
