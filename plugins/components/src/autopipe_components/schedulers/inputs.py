"""Checks of what a caller gives to a scheduler: schedules, timesteps, samples, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.values import ANY_NUMBER, Range, Unfit, fitted
from autopipe.wording import shown

from .options import MOST_STEPS

_NUMBERS: Any = Range(-MOST_STEPS, MOST_STEPS)

Timestep = int | float | Tensor
"""One timestep: a number or a tensor of one element."""


def check_number(
    owner: object,
    name: str,
    value: object,
    limits: Range = ANY_NUMBER,
    kind: type[int] | type[float] = float,
) -> Any:
    """`value`, given as `name`, as a number of `kind`.

    Raises:
        SchedulerError: it is not a number within `limits`.
    """
    if type(value) is kind and value in limits:
        return value
    try:
        return fitted(value, kind, limits)
    except Unfit as error:
        raise SchedulerError(
            f"{type(owner).__name__} takes as {name} {error}, not {shown(value)}"
        ) from None


def check_timestep(owner: object, timestep: object) -> None:
    """Raise `SchedulerError` unless `timestep` is one number. Does not wait for a device."""
    single = isinstance(timestep, Tensor) and timestep.numel() == 1
    plain = isinstance(timestep, (int, float, np.number)) and not isinstance(timestep, bool)
    if not single and not (plain and timestep in _NUMBERS):
        raise SchedulerError(
            f"{type(owner).__name__} takes one of its `timesteps`, not {shown(timestep)}"
        )


def check_prediction(owner: object, model_output: Tensor, sample: Tensor, *, learned: bool) -> None:
    """Raise `SchedulerError` unless `model_output` can be what a network predicts for `sample`.

    Args:
        learned: the output may have twice the channels of the sample: the second half says how
            much noise a step adds.
    """
    _check_floats(owner, model_output=model_output, sample=sample)
    if model_output.device != sample.device:
        raise SchedulerError(
            f"{type(owner).__name__} was given model_output on {model_output.device} and "
            f"sample on {sample.device}; they must be on one device"
        )
    shape = model_output.shape
    if learned and sample.ndim > 1 and shape[1:2] == (2 * sample.shape[1],):
        shape = torch.Size((shape[0], sample.shape[1], *shape[2:]))
    if not _broadcast(shape, sample.shape):
        raise SchedulerError(
            f"{type(owner).__name__} was given model_output of shape "
            f"{tuple(model_output.shape)} for a sample of shape {tuple(sample.shape)}; they must "
            f"have the same shape"
        )


def check_noise(owner: object, sample: Tensor, noise: Tensor) -> None:
    """Raise `SchedulerError` unless `noise` can be mixed with `sample`."""
    _check_floats(owner, samples=sample, noise=noise)
    if not _broadcast(noise.shape, sample.shape) or noise.device != sample.device:
        raise SchedulerError(
            f"{type(owner).__name__} was given noise of shape {tuple(noise.shape)} on "
            f"{noise.device} for samples of shape {tuple(sample.shape)} on {sample.device}; they "
            f"must be alike"
        )


def timesteps_tensor(owner: object, timesteps: Any) -> Tensor:
    """`timesteps` of a batch as a tensor of numbers, (B,), on the CPU."""
    try:
        found = torch.as_tensor(timesteps).to("cpu").flatten()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = torch.empty(0)
    if not 0 < len(found) <= MOST_STEPS or found.is_complex() or found.dtype is torch.bool:
        raise SchedulerError(
            f"{type(owner).__name__} takes a tensor of timesteps, one for each sample, not "
            f"{shown(timesteps)}"
        )
    return found


def custom_schedule(
    owner: object, name: str, values: Any, limits: Range = ANY_NUMBER
) -> np.ndarray:
    """A schedule that the caller gives, as float64.

    Raises:
        SchedulerError: `values` are not numbers within `limits` in a row, or some rise.
    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = np.empty((0, 0))
    kind = type(owner).__name__
    if found.ndim != 1 or not 0 < len(found) <= MOST_STEPS or not np.isfinite(found).all():
        if found.shape == (0,):
            raise SchedulerError(f"{kind}: {name} is empty; give at least one")
        raise SchedulerError(f"{kind}: {name} must be a row of numbers, not {shown(values)}")
    if (np.diff(found) > 0).any():
        raise SchedulerError(f"{kind}: {name} must descend, unlike {shown(values)}")
    if len(found) > 1 and found[0] == found[1]:
        # Where a schedule is entered is told from its first number.
        raise SchedulerError(f"{kind}: {name} must descend, and begin with {found[0]:g} twice")
    if found[0] not in limits or found[-1] not in limits:
        raise SchedulerError(
            f"{kind}: {name} run from {found[0]:g} to {found[-1]:g}, and must be numbers{limits}"
        )
    return found


def placed(owner: object, schedule: np.ndarray | Tensor, device: Any) -> Tensor:
    """`schedule` on `device`."""
    try:
        return torch.as_tensor(schedule).to(device)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise SchedulerError(
            f"{type(owner).__name__}.set_timesteps can't put timesteps on {shown(device)}, which "
            f"is not a device that torch has here"
        ) from error


def _check_floats(owner: object, **tensors: object) -> None:
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or not tensor.ndim:
            kind = f"{tensor.dtype}, " if isinstance(tensor, Tensor) else ""
            raise SchedulerError(
                f"{type(owner).__name__} takes a tensor of floats, (B, ...), as {name}, not "
                f"{kind}{shown(tensor)}"
            )


def _broadcast(shape: torch.Size, onto: torch.Size) -> bool:
    """Whether a tensor of `shape` can be added to one of the shape `onto`."""
    if shape == onto:
        return True
    try:
        np.broadcast_shapes(tuple(shape), tuple(onto))
    except ValueError:
        return False
    return True
