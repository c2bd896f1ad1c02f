"""Checks of scheduler options, so that a config that can't work fails when it is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from autopipe.errors import SchedulerError, nearest

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
        known = ", ".join(repr(choice) for choice in allowed)
        hint = nearest(str(value), [str(choice) for choice in allowed])
        raise SchedulerError(
            f"{type(owner).__name__} has no {option} {value!r}; it is one of {known}.{hint}"
        )


def check_count(owner: object, option: str, value: object) -> None:
    """Raise `SchedulerError` unless `value` is a positive whole number."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1:
        raise SchedulerError(
            f"{type(owner).__name__} needs a positive whole number as {option}, not {value!r}"
        )


def check_sigma_kind(owner: object, config: Mapping[str, Any]) -> None:
    """Raise `SchedulerError` if `config` asks for two kinds of sigmas at once."""
    asked = [kind for kind in SIGMA_KINDS if config.get(kind)]
    if len(asked) > 1:
        raise SchedulerError(
            f"{type(owner).__name__} was given {' and '.join(asked)}; at most one of them can be on"
        )


def check_one_schedule(owner: object, **given: object) -> None:
    """Raise `SchedulerError` unless exactly one of the ways to give a schedule is not None."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        found = " and ".join(named) if named else "none"
        raise SchedulerError(
            f"{type(owner).__name__}.set_timesteps takes exactly one of {', '.join(given)}; "
            f"it was given {found}"
        )
