"""Whom the denoising loop tells of its steps: what users pass as callbacks, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from torch import Tensor

from autopipe.errors import ArgumentTypeError
from autopipe.pipeline.loop import OnStep, StepCallback, callback_inputs

from .checks import check_at_least_one, check_callback_inputs

if TYPE_CHECKING:
    from autopipe.pipeline.base import DiffusionPipeline

OlderCallback = Callable[[int, Tensor, Tensor], Any]
"""`callback(step, timestep, latents)`, called every `callback_steps` timesteps."""


class Reports(TypedDict):
    """Arguments of `autopipe.pipeline.loop.denoise`."""

    callback_on_step_end: StepCallback | None
    callback_inputs: Sequence[str]
    on_step: OnStep | None


def step_reports(
    run: DiffusionPipeline,
    callback_on_step_end: StepCallback | None,
    tensor_inputs: Sequence[str] | None = None,
    callback: OlderCallback | None = None,
    callback_steps: int | None = None,
) -> Reports:
    """The callbacks of a call, in the form that the loop takes.

    Args:
        tensor_inputs: which tensors `callback_on_step_end` gets, if it doesn't say so itself by
            an attribute of that name.

    Raises:
        ArgumentTypeError: something that can't be called, or an interval that is not a number.
        ArgumentError: the pipeline doesn't show such a tensor, or the interval is below 1.
    """
    if callback_on_step_end is not None and not callable(callback_on_step_end):
        raise ArgumentTypeError(
            f"callback_on_step_end is a {type(callback_on_step_end).__name__}; give a function"
        )
    check_callback_inputs(tensor_inputs, run._callback_tensor_inputs)
    names = callback_inputs(callback_on_step_end, tensor_inputs)
    check_callback_inputs(names, run._callback_tensor_inputs)
    return {
        "callback_on_step_end": callback_on_step_end,
        "callback_inputs": names,
        "on_step": every(callback, callback_steps, run.scheduler.order),
    }


def every(callback: OlderCallback | None, interval: int | None, order: int) -> OnStep | None:
    """The older kind of callback, `callback(step, timestep, latents)`, as an `OnStep`.

    Args:
        callback: called with the number of the solver step; what it returns is not used.
        interval: it is called where the index of the timestep is a multiple; 1 when absent.
        order: of the scheduler.

    Raises:
        ArgumentTypeError: `interval` is not a whole number, or `callback` can't be called.
        ArgumentError: `interval` is below 1.
    """
    if interval is not None:
        check_at_least_one("callback_steps", interval)
    if callback is None:
        return None
    if not callable(callback):
        raise ArgumentTypeError(f"callback is a {type(callback).__name__}; give a function")

    def on_step(index: int, timestep: Tensor, latents: Tensor) -> None:
        if index % (interval or 1) == 0:
            callback(index // order, timestep, latents)

    return on_step
