"""Checks the arguments of schedulers: schedules, timesteps, samples, numbers."""

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
    """Return `value`, the argument `name`, as a number of `kind`.

    Raises:
        SchedulerError: if `value` is not a number within `limits`.
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
    """Raise `SchedulerError` unless `timestep` is one number; it is not read from its device."""
    single = isinstance(timestep, Tensor) and timestep.numel() == 1
    plain = isinstance(timestep, (int, float, np.number)) and not isinstance(timestep, bool)
    if not single and not (plain and timestep in _NUMBERS):
        raise SchedulerError(
            f"{type(owner).__name__} takes one of its `timesteps`, not {shown(timestep)}"
        )


def check_prediction(owner: object, model_output: Tensor, sample: Tensor, *, learned: bool) -> None:
    """Raise `SchedulerError` unless `model_output` can be a prediction for `sample`.

    Args:
        learned: whether the output may have twice the channels of the sample, the second half for
            a learned variance.
    """
    _check_floats(owner, model_output=model_output, sample=sample)
    if model_output.device != sample.device:
        raise SchedulerError(
            f"{type(owner).__name__} got model_output on {model_output.device} and sample on "
            f"{sample.device}; they must be on the same device"
        )
    shape = model_output.shape
    if learned and sample.ndim > 1 and shape[1:2] == (2 * sample.shape[1],):
        shape = torch.Size((shape[0], sample.shape[1], *shape[2:]))
    if not _broadcast(shape, sample.shape):
        raise SchedulerError(
            f"{type(owner).__name__} got model_output of shape {tuple(model_output.shape)} for a "
            f"sample of shape {tuple(sample.shape)}; they must have the same shape"
        )


def check_noise(owner: object, sample: Tensor, noise: Tensor) -> None:
    """Raise `SchedulerError` unless `noise` can be mixed with `sample`."""
    _check_floats(owner, samples=sample, noise=noise)
    if not _broadcast(noise.shape, sample.shape) or noise.device != sample.device:
        raise SchedulerError(
            f"{type(owner).__name__} got noise of shape {tuple(noise.shape)} on {noise.device} for "
            f"samples of shape {tuple(sample.shape)} on {sample.device}; shape and device must be "
            f"the same"
        )


def timesteps_tensor(owner: object, timesteps: Any) -> Tensor:
    """Return the timesteps of a batch as a tensor (B,) on the CPU."""
    try:
        numbers = torch.as_tensor(timesteps).to("cpu").flatten()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        numbers = torch.empty(0)
    if not 0 < len(numbers) <= MOST_STEPS or numbers.is_complex() or numbers.dtype is torch.bool:
        raise SchedulerError(
            f"{type(owner).__name__} takes a tensor of timesteps, one for each sample, not "
            f"{shown(timesteps)}"
        )
    return numbers


def check_timesteps(owner: object, timesteps: Any, count: int) -> Tensor:
    """Return the timesteps of a batch as whole numbers from 0 to `count` - 1, on the CPU.

    Raises:
        SchedulerError: if they are something else.
    """
    index = timesteps_tensor(owner, timesteps)
    if index.is_floating_point() or int(index.min()) < 0 or int(index.max()) >= count:
        raise SchedulerError(
            f"{type(owner).__name__} has the timesteps 0 to {count - 1}, as whole numbers, not "
            f"{shown(index.tolist())}"
        )
    return index.long()


def custom_schedule(
    owner: object, name: str, values: Any, limits: Range = ANY_NUMBER, ascending: bool = False
) -> np.ndarray:
    """Return a custom schedule of the caller, as float64.

    Raises:
        SchedulerError: if `values` is not a list of numbers within `limits`, or it rises somewhere
            (falls, if it should be `ascending`).
    """
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        numbers = np.empty((0, 0))
    kind = type(owner).__name__
    if numbers.ndim != 1 or not 0 < len(numbers) <= MOST_STEPS or not np.isfinite(numbers).all():
        if numbers.shape == (0,):
            raise SchedulerError(f"{kind}: {name} is empty; give at least one")
        raise SchedulerError(f"{kind}: {name} must be a list of numbers, not {shown(values)}")
    way = "ascend" if ascending else "descend"
    if (np.diff(-numbers if ascending else numbers) > 0).any():
        raise SchedulerError(f"{kind}: {name} must {way}, but is {shown(values)}")
    if len(numbers) > 1 and numbers[0] == numbers[1]:
        # The position of a step is found by its timestep, so the first must be unique.
        raise SchedulerError(f"{kind}: {name} must {way}, but starts with {numbers[0]:g} twice")
    if numbers[0] not in limits or numbers[-1] not in limits:
        raise SchedulerError(
            f"{kind}: {name} go from {numbers[0]:g} to {numbers[-1]:g}; they must be "
            f"numbers{limits}"
        )
    return numbers


def placed(owner: object, schedule: np.ndarray | Tensor, device: Any) -> Tensor:
    """Return `schedule` on `device`."""
    try:
        return torch.as_tensor(schedule).to(device)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise SchedulerError(
            f"{type(owner).__name__}.set_timesteps can't put timesteps on {shown(device)}, which "
            f"is not a device of this machine"
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
