"""Sets the timesteps of a call, and selects the part of the schedule that the call runs."""

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
    """Timesteps, and the number of solver steps that they form.

    Attributes:
        timesteps: 1-D, as in the scheduler. Solvers of order 2 have about two per step.
        steps: the number of solver steps.
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
    """Set the scheduler's timesteps from a number of steps, or from custom timesteps or sigmas.

    With custom values, `steps` of the result is the resulting number of timesteps.

    Args:
        **options: further arguments of the scheduler's `set_timesteps`.

    Raises:
        ArgumentError: if `timesteps` and `sigmas` are both given, or none of `num_inference_steps`,
            `timesteps` and `sigmas` is given.
        SchedulerError: if the scheduler doesn't take custom values of that kind.
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
    """Keep the last `int(steps * strength)` steps, and set the begin index of the scheduler.

    Raises:
        ArgumentError: if no step remains.
    """
    kept = min(int(steps * strength), steps)
    begin = (steps - kept) * scheduler.order
    if kept < 1 or begin >= len(scheduler.timesteps):
        raise ArgumentError(
            f"strength={strength} with {steps} steps leaves nothing to do; raise strength or "
            f"num_inference_steps"
        )
    return begin_at(scheduler, begin, kept)


def start_at(scheduler: SchedulerMixin, fraction: float) -> Schedule:
    """Return the rest of the schedule after a `fraction` of the noise, in (0, 1), is removed.

    The result may be empty.
    """
    left = int((scheduler.timesteps < _cut_off(scheduler, fraction)).sum())
    # All steps but the first of a solver of order 2 are pairs; an even count would split one.
    left += scheduler.order == 2 and left % 2 == 0
    return begin_at(scheduler, len(scheduler.timesteps) - left, _steps(scheduler, left))


def stop_at(scheduler: SchedulerMixin, schedule: Schedule, fraction: float) -> Schedule:
    """Return the part of `schedule` that removes a `fraction` of the noise, in (0, 1).

    The result may be empty. `start_at` returns the other part of the same schedule.
    """
    timesteps = schedule.timesteps
    kept = timesteps[: int((timesteps >= _cut_off(scheduler, fraction)).sum())]
    # Timesteps in excess of whole steps belong to the solver's start and are not counted.
    uncounted = max(len(timesteps) - schedule.steps * scheduler.order, 0)
    return Schedule(kept, _steps(scheduler, max(len(kept) - uncounted, 0)))


def check_any_left(schedule: Schedule) -> None:
    """Check that at least one timestep remains.

    Raises:
        ArgumentError: if `schedule` is empty.
    """
    if not len(schedule.timesteps):
        raise ArgumentError(
            "no step remains; start earlier in the schedule, or raise num_inference_steps"
        )


def _steps(scheduler: SchedulerMixin, timesteps: int) -> int:
    return -(-timesteps // scheduler.order)


def _cut_off(scheduler: SchedulerMixin, fraction: float) -> int:
    trained = int(scheduler.config["num_train_timesteps"])
    return round(trained - fraction * trained)


def begin_at(scheduler: SchedulerMixin, index: int, steps: int) -> Schedule:
    """Return the schedule from the timestep `index`, where the scheduler begins, with `steps`."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(index)
    return Schedule(scheduler.timesteps[index:], steps)
