"""Schedules along a flow: levels of noise from 1 to 0, shifted by the number of tokens."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, SchedulerError
from autopipe.scheduling import SchedulerMixin

from .timesteps import Schedule, begin_at, set_schedule


def shift_of(tokens: int, config: Mapping[str, Any]) -> float:
    """Return `mu`, by which a schedule is shifted for images of this number of tokens.

    It is linear in the number, since more tokens need more noise to be hidden (Esser et al. 2024,
    arXiv:2403.03206, section 5.3.2).

    Args:
        config: of the scheduler: the shifts `base_shift` and `max_shift`, and the numbers
            `base_image_seq_len` and `max_image_seq_len` for which they are meant.

    Raises:
        SchedulerError: if the two numbers are equal.
    """
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    if few == many:
        raise SchedulerError(
            f"the scheduler's base_image_seq_len and max_image_seq_len are both {few}, so the "
            f"shift for other numbers of tokens isn't defined; give two different ones"
        )
    slope = (high - low) / (many - few)
    mu: float = tokens * slope + (low - slope * few)
    return mu


def even_levels(steps: int) -> list[float]:
    """Return `steps` levels of noise, evenly from 1 to 1 / steps."""
    levels: list[float] = np.linspace(1.0, 1 / steps, steps).tolist()
    return levels


def set_flow_schedule(
    scheduler: SchedulerMixin,
    *,
    tokens: int,
    num_inference_steps: int | None,
    device: torch.device | str | None = None,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    mu: float | None = None,
    even: bool = True,
) -> Schedule:
    """Set the timesteps of a scheduler of flows, and begin with the first one.

    Args:
        tokens: the number of tokens of an image.
        timesteps, sigmas: custom ones, of which one may be given.
        mu: the shift; by default `shift_of`. Only for schedulers with `use_dynamic_shifting`.
        even: whether the levels before the shift are `even_levels`; False leaves them to the
            scheduler. Solvers that know flows by `use_flow_sigmas` have their own.

    Raises:
        ArgumentError: if timesteps and sigmas are both given.
        SchedulerError: if the scheduler is not one of flows, or doesn't take what is given.
    """
    config = scheduler.config
    solves_flows = bool(config.get("use_flow_sigmas", False))
    if not solves_flows and not hasattr(scheduler, "scale_noise"):
        raise SchedulerError(
            f"{type(scheduler).__name__} is not a scheduler of flows; use one, such as "
            f"FlowMatchEulerDiscreteScheduler, or one with use_flow_sigmas=True"
        )
    options: dict[str, Any] = {}
    if config.get("use_dynamic_shifting", False):
        options["mu"] = shift_of(tokens, config) if mu is None else mu
    elif mu is not None:
        raise SchedulerError(
            f"mu is {mu}, which shifts schedulers with use_dynamic_shifting alone, and this "
            f"{type(scheduler).__name__} has none; leave mu out, or set its shift"
        )
    custom = timesteps is not None or sigmas is not None
    takes_levels = "sigmas" in inspect.signature(scheduler.set_timesteps).parameters
    if even and not custom and not solves_flows and takes_levels:
        assert num_inference_steps is not None
        sigmas = even_levels(num_inference_steps)
    schedule = set_schedule(
        scheduler,
        num_inference_steps=num_inference_steps,
        device=device,
        timesteps=timesteps,  # type: ignore[arg-type]  # whole ones or not
        sigmas=sigmas,
        **options,
    )
    return begin_at(scheduler, 0, schedule.steps)


def keep_flow_tail(scheduler: SchedulerMixin, *, steps: int, strength: float) -> Schedule:
    """Keep the last `steps * strength` steps, rounded up, and set the begin index.

    Raises:
        ArgumentError: if no step remains.
    """
    begin = int(max(steps - min(steps * strength, steps), 0))
    if begin >= steps or begin * scheduler.order >= len(scheduler.timesteps):
        raise ArgumentError(
            f"strength={strength} with {steps} steps leaves nothing to do; raise strength or "
            f"num_inference_steps"
        )
    return begin_at(scheduler, begin * scheduler.order, steps - begin)


def flow_time(timestep: Tensor, sample: Tensor) -> Tensor:
    """Return a timestep from 0 to 1000 as a time from 0 to 1 of each sample, in its dtype, (B,)."""
    return timestep.to(sample.device).expand(len(sample)).to(sample.dtype) / 1000
