"""Which timesteps a call walks: its schedule, and the part of it that a start leaves."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError, SchedulerError
from autopipe.scheduling import SchedulerMixin
from autopipe.wording import shown


@dataclass(frozen=True)
class Schedule:
    """The timesteps to walk, and how many solver steps they are.

    Attributes:
        timesteps: 1-D, as the scheduler has them. Solvers of order 2 have about two for a step.
        steps: what `num_inference_steps` comes to.
    """

    timesteps: Tensor
    steps: int


def set_schedule(
    scheduler: SchedulerMixin,
    *,
    num_inference_steps: int | None = None,
    device: torch.device | str | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
    **options: Any,
) -> Schedule:
    """Set the scheduler's timesteps: a number of them, or the caller's own timesteps or sigmas.

    Custom ones count as they come out: `steps` is then the number of the scheduler's timesteps.

    Args:
        **options: further arguments of the scheduler's `set_timesteps`.

    Raises:
        ArgumentError: both `timesteps` and `sigmas` are given, or nothing at all.
        SchedulerError: this scheduler takes no custom ones of that kind.
    """
    if timesteps is not None and sigmas is not None:
        raise ArgumentError("got both timesteps and sigmas; give one of them")
    custom = {"timesteps": timesteps, "sigmas": sigmas}
    for name, values in custom.items():
        if values is None:
            continue
        if name not in inspect.signature(scheduler.set_timesteps).parameters:
            raise SchedulerError(
                f"{type(scheduler).__name__} takes no custom {name}; give num_inference_steps, "
                f"or use another scheduler, such as EulerDiscreteScheduler"
            )
        scheduler.set_timesteps(device=device, **{name: values}, **options)
        return Schedule(scheduler.timesteps, len(scheduler.timesteps))
    if num_inference_steps is None:
        raise ArgumentError("got no num_inference_steps, timesteps or sigmas; give one of them")
    try:
        scheduler.set_timesteps(num_inference_steps, device=device, **options)
    except SchedulerError as error:
        raise SchedulerError(
            f"num_inference_steps is {shown(num_inference_steps)}: {error}"
        ) from error
    return Schedule(scheduler.timesteps, num_inference_steps)


def keep_tail(scheduler: SchedulerMixin, *, steps: int, strength: float) -> Schedule:
    """The last `int(steps * strength)` steps, and the scheduler told that it begins there.

    Raises:
        ArgumentError: no step is left.
    """
    kept = min(int(steps * strength), steps)
    begin = (steps - kept) * scheduler.order
    if kept < 1 or begin >= len(scheduler.timesteps):
        raise ArgumentError(
            f"strength {strength} of {steps} steps leaves none to make; give a larger strength "
            f"or more num_inference_steps"
        )
    return _begin(scheduler, begin, kept)


def start_at(scheduler: SchedulerMixin, fraction: float) -> Schedule:
    """What is left of the schedule once `fraction` of the noise, in (0, 1), has been removed.

    Nothing may be left, if the schedule has no timestep below.
    """
    left = int((scheduler.timesteps < _cut_off(scheduler, fraction)).sum())
    # The steps of a solver of order 2 but the first are pairs: an even count would cut one.
    left += scheduler.order == 2 and left % 2 == 0
    return _begin(scheduler, len(scheduler.timesteps) - left, _steps(scheduler, left))


def stop_at(scheduler: SchedulerMixin, schedule: Schedule, fraction: float) -> Schedule:
    """The part of `schedule` until `fraction` of the noise, in (0, 1), has been removed.

    It may be empty; what `start_at` then keeps of the same schedule is all of it.
    """
    timesteps = schedule.timesteps
    kept = timesteps[: int((timesteps >= _cut_off(scheduler, fraction)).sum())]
    # Timesteps beyond the whole steps belong to the solver's start and are not counted.
    uncounted = max(len(timesteps) - schedule.steps * scheduler.order, 0)
    return Schedule(kept, _steps(scheduler, max(len(kept) - uncounted, 0)))


def check_any_left(schedule: Schedule) -> None:
    """Refuse a schedule without a timestep, for tasks that have nothing to do then.

    Raises:
        ArgumentError: it is one.
    """
    if not len(schedule.timesteps):
        raise ArgumentError(
            "no step is left to make; start earlier in the schedule, or give more "
            "num_inference_steps"
        )


def _steps(scheduler: SchedulerMixin, timesteps: int) -> int:
    return -(-timesteps // scheduler.order)


def _cut_off(scheduler: SchedulerMixin, fraction: float) -> int:
    trained = int(scheduler.config["num_train_timesteps"])
    return round(trained - fraction * trained)


def _begin(scheduler: SchedulerMixin, index: int, steps: int) -> Schedule:
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(index)
    return Schedule(scheduler.timesteps[index:], steps)
