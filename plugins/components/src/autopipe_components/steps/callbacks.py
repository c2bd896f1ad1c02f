"""Checks the callbacks of a call and converts them to the form that the loop takes."""

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
"""`callback(step, timestep, latents)`, called every `callback_steps` timesteps.

This is the older form of callbacks in diffusers; its return value is ignored."""


class StepCallbacks(TypedDict):
    """The callbacks as keyword arguments of `autopipe.pipeline.loop.denoise`."""

    callback_on_step_end: StepCallback | None
    callback_inputs: Sequence[str]
    on_step: OnStep | None


def step_callbacks(
    run: DiffusionPipeline,
    callback_on_step_end: StepCallback | None,
    tensor_inputs: Sequence[str] | None = None,
    callback: OlderCallback | None = None,
    callback_steps: int | None = None,
) -> StepCallbacks:
    """Check the callbacks of a call, and return them in the form that the loop takes.

    Args:
        tensor_inputs: the names of the tensors to pass to `callback_on_step_end`; its attribute
            `tensor_inputs`, if it has one, takes precedence.
        callback, callback_steps: a callback of the older form; see `OlderCallback`.

    Raises:
        ArgumentTypeError: if a callback is not callable, or `callback_steps` is not a whole number.
        ArgumentError: if the pipeline doesn't offer one of the tensors, or `callback_steps` is
            below 1.
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
        "on_step": older_callback(callback, callback_steps, run.scheduler.order),
    }


def older_callback(
    callback: OlderCallback | None, interval: int | None, order: int
) -> OnStep | None:
    """Convert an `OlderCallback` to the loop's `on_step`; return None if `callback` is None.

    Args:
        callback: called with the number of the solver step; its result is ignored.
        interval: call it at each timestep whose index is a multiple of this; None means 1.
        order: the order of the scheduler.

    Raises:
        ArgumentTypeError: if `interval` is not a whole number, or `callback` is not callable.
        ArgumentError: if `interval` is below 1.
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
