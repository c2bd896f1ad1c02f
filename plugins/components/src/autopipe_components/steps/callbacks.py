"""The callbacks of a call: checked, and in the form that the denoising loop takes."""

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

The older form of a callback in diffusers, which can change nothing."""


class StepCallbacks(TypedDict):
    """The callbacks as arguments of `autopipe.pipeline.loop.denoise`."""

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
        tensor_inputs: the names of the tensors that `callback_on_step_end` gets, unless it has an
            attribute `tensor_inputs` of its own.
        callback, callback_steps: a callback of the older form; see `OlderCallback`.

    Raises:
        ArgumentTypeError: a callback is not callable, or `callback_steps` is not a whole number.
        ArgumentError: the pipeline doesn't offer a tensor of that name, or `callback_steps` is
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
    """An `OlderCallback` as the loop's `on_step`; None if `callback` is.

    Args:
        callback: called with the number of the solver step; its result is ignored.
        interval: it is called at each timestep whose index is a multiple of this; 1 if None.
        order: the order of the scheduler.

    Raises:
        ArgumentTypeError: `interval` is not a whole number, or `callback` is not callable.
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
