"""Learning rate schedules: a factor by step, for `torch.optim.lr_scheduler.LambdaLR`.

All but the constant ones begin with a warm-up, in which the factor rises linearly from 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from enum import Enum
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from autopipe.errors import ArgumentError
from autopipe.wording import listed, shown


class SchedulerType(Enum):
    """The names that `get_scheduler` takes."""

    LINEAR = "linear"
    COSINE = "cosine"
    COSINE_WITH_RESTARTS = "cosine_with_restarts"
    POLYNOMIAL = "polynomial"
    CONSTANT = "constant"
    CONSTANT_WITH_WARMUP = "constant_with_warmup"
    PIECEWISE_CONSTANT = "piecewise_constant"


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """Return a schedule that keeps the learning rate of the optimizer.

    Args:
        last_epoch: the last step of an interrupted training, here and in the other schedules.
    """
    return LambdaLR(optimizer, lambda step: 1.0, last_epoch)


def get_constant_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """Return a schedule with a warm-up of `num_warmup_steps`, constant afterwards."""
    return LambdaLR(optimizer, _warmed(num_warmup_steps, lambda step: 1.0), last_epoch)


def get_piecewise_constant_schedule(
    optimizer: Optimizer, step_rules: str, last_epoch: int = -1
) -> LambdaLR:
    """Return a schedule with constant factors in intervals of steps.

    Args:
        step_rules: `"1:10,0.1:20,0.01"` means the factor 1 before step 10, 0.1 before step 20, and
            0.01 from then on.

    Raises:
        ArgumentError: if `step_rules` has another form.
    """
    *pieces, last = step_rules.split(",")
    try:
        rules = sorted((int(end), float(factor)) for factor, end in (p.split(":") for p in pieces))
        factors = [*(factor for _, factor in rules), float(last)]
    except ValueError:
        raise ArgumentError(
            f"step_rules={shown(step_rules)} has the wrong form; write factors and the steps at "
            f"which they end, such as '1:10,0.1:20,0.01'"
        ) from None
    ends = [end for end, _ in rules]
    return LambdaLR(optimizer, lambda step: factors[bisect_right(ends, step)], last_epoch)


def get_linear_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    last_epoch: int = -1,
    f_min: float = 0.0,
    f_max: float = 1.0,
) -> LambdaLR:
    """Return a schedule that falls linearly from `f_max` to `f_min` after the warm-up."""
    rest = max(1, num_training_steps - num_warmup_steps)

    def factor(step: int) -> float:
        return f_min + (f_max - f_min) * max(0.0, (num_training_steps - step) / rest)

    return LambdaLR(optimizer, _warmed(num_warmup_steps, factor, f_max), last_epoch)


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """Return a schedule that follows `num_cycles` periods of a cosine after the warm-up."""

    def factor(done: float) -> float:
        return _cosine(2.0 * num_cycles * done)

    return _after_warmup(optimizer, num_warmup_steps, num_training_steps, factor, last_epoch)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: int = 1,
    last_epoch: int = -1,
) -> LambdaLR:
    """Return a schedule that falls to 0 as half a cosine `num_cycles` times after the warm-up."""

    def factor(done: float) -> float:
        return 0.0 if done >= 1.0 else _cosine((num_cycles * done) % 1.0)

    return _after_warmup(optimizer, num_warmup_steps, num_training_steps, factor, last_epoch)


def get_polynomial_decay_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
    last_epoch: int = -1,
) -> LambdaLR:
    """Return a schedule that falls to the learning rate `lr_end` as a polynomial.

    Args:
        power: the power of the fraction of steps that is left.

    Raises:
        ArgumentError: if `lr_end` is not below the learning rate of the optimizer.
    """
    start = optimizer.defaults["lr"]
    if not start > lr_end:
        raise ArgumentError(f"lr_end={lr_end} must be below the learning rate {start}; lower it")

    def factor(step: int) -> float:
        if step > num_training_steps:
            return float(lr_end / start)
        left = 1 - (step - num_warmup_steps) / (num_training_steps - num_warmup_steps)
        return float(((start - lr_end) * left**power + lr_end) / start)

    return LambdaLR(optimizer, _warmed(num_warmup_steps, factor), last_epoch)


TYPE_TO_SCHEDULER_FUNCTION: dict[SchedulerType, Callable[..., LambdaLR]] = {
    SchedulerType.LINEAR: get_linear_schedule_with_warmup,
    SchedulerType.COSINE: get_cosine_schedule_with_warmup,
    SchedulerType.COSINE_WITH_RESTARTS: get_cosine_with_hard_restarts_schedule_with_warmup,
    SchedulerType.POLYNOMIAL: get_polynomial_decay_schedule_with_warmup,
    SchedulerType.CONSTANT: get_constant_schedule,
    SchedulerType.CONSTANT_WITH_WARMUP: get_constant_schedule_with_warmup,
    SchedulerType.PIECEWISE_CONSTANT: get_piecewise_constant_schedule,
}

_TAKEN = {
    SchedulerType.LINEAR: ("num_warmup_steps", "num_training_steps"),
    SchedulerType.COSINE: ("num_warmup_steps", "num_training_steps"),
    SchedulerType.COSINE_WITH_RESTARTS: ("num_warmup_steps", "num_training_steps", "num_cycles"),
    SchedulerType.POLYNOMIAL: ("num_warmup_steps", "num_training_steps", "power"),
    SchedulerType.CONSTANT: (),
    SchedulerType.CONSTANT_WITH_WARMUP: ("num_warmup_steps",),
    SchedulerType.PIECEWISE_CONSTANT: ("step_rules",),
}


def get_scheduler(
    name: str | SchedulerType,
    optimizer: Optimizer,
    step_rules: str | None = None,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    num_cycles: int = 1,
    power: float = 1.0,
    last_epoch: int = -1,
) -> LambdaLR:
    """Return the schedule called `name`; arguments that it doesn't take are ignored.

    Args:
        name: one of `SchedulerType`, or its value, such as `"constant_with_warmup"`.
        step_rules: for `"piecewise_constant"`.
        num_warmup_steps, num_training_steps: in steps of the optimizer.
        num_cycles: for `"cosine_with_restarts"`.
        power: for `"polynomial"`.

    Raises:
        ArgumentError: if there is no such schedule, or it needs an argument that is None.
    """
    try:
        kind = SchedulerType(name)
    except ValueError:
        known = listed(one.value for one in SchedulerType)
        raise ArgumentError(f"there is no schedule {shown(name)}; known are {known}") from None
    given: dict[str, Any] = {
        "step_rules": step_rules,
        "num_warmup_steps": num_warmup_steps,
        "num_training_steps": num_training_steps,
        "num_cycles": num_cycles,
        "power": power,
    }
    values = {one: given[one] for one in _TAKEN[kind]}
    for one, value in values.items():
        if value is None:
            raise ArgumentError(f"the schedule {kind.value} needs {one}=; give it")
    return TYPE_TO_SCHEDULER_FUNCTION[kind](optimizer, last_epoch=last_epoch, **values)


def _warmed(
    warmup: int, factor: Callable[[int], float], top: float = 1.0
) -> Callable[[int], float]:
    """Return `factor` with a warm-up to `top` before it."""
    return lambda step: top * step / max(1, warmup) if step < warmup else factor(step)


def _after_warmup(
    optimizer: Optimizer,
    warmup: int,
    total: int,
    factor: Callable[[float], float],
    last_epoch: int,
) -> LambdaLR:
    """Return a schedule whose `factor` gets the fraction of the steps after the warm-up."""
    rest = max(1, total - warmup)
    return LambdaLR(
        optimizer, _warmed(warmup, lambda step: factor((step - warmup) / rest)), last_epoch
    )


def _cosine(half_periods: float) -> float:
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * half_periods)))
