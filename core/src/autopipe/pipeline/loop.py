"""The denoising loop: written once, for every family and task.

It walks a schedule, asks the family for a prediction, lets the scheduler take a step and the
task restore what must not change, reports, and asks whether to stop. It knows nothing of
latents, prompts or models.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .changes import Changes
from .changes import Tensors as Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ..scheduling import SchedulerMixin
    from .base import DiffusionPipeline

OnStep = Callable[[int, "Tensor", "Tensor"], None]
"""`on_step(index, timestep, latents)`; `index` is that of the timestep."""

StepCallback = Callable[..., Any]
"""`callback(pipe, step, timestep, tensors) -> dict | None`; entries returned replace tensors."""

Replace = Callable[[Tensors, Tensors], None]
"""`replace(tensors, changes)` puts what a step callback changed into the tensors of a call."""


def denoise(
    run: DiffusionPipeline,
    tensors: Tensors,
    predict: Callable[[int, Tensor], Tensor],
    *,
    timesteps: Tensor,
    steps: int | None = None,
    scheduler: SchedulerMixin | None = None,
    step_options: Mapping[str, Any] | None = None,
    keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    callback_on_step_end: StepCallback | None = None,
    callback_inputs: Sequence[str] = ("latents",),
    replace: Replace = dict.update,
    on_step: OnStep | None = None,
) -> Tensor:
    """Denoise `tensors["latents"]` along `timesteps` and return it.

    Args:
        run: the call's pipeline; its `interrupt` skips the steps that are left.
        tensors: the tensors of the call. `predict` reads them anew in each step.
        predict: `(step, timestep) -> prediction`, guidance included, in the form that the
            scheduler's `step` takes.
        timesteps: 1-D, in the order of the steps; `scheduler.order` entries make one step.
        steps: the solver steps that were asked for, which the progress bar counts. Timesteps
            beyond them belong to the solver's start and are not reported.
        scheduler: `run.scheduler` when absent.
        step_options: further arguments of `scheduler.step`; see `accepted_options`.
        keep: `(step, timestep, latents) -> latents`, after each step: what a task restores.
        callback_on_step_end: see `StepCallback`.
        callback_inputs: the names of the tensors that the callback gets.
        replace: see `Replace`; for families whose tensors depend on each other.
        on_step: called once for each completed solver step.

    Raises:
        ArgumentError, ArgumentTypeError: what the callback returned can't be used.
        CancelledError: the call was cancelled.
    """
    if scheduler is None:
        scheduler = run.scheduler
        assert scheduler is not None
    predict, keep = run._predictor_of(tensors, predict), run._keeper_of(keep)
    options = dict(step_options or {})
    order = scheduler.order
    if steps is None:
        steps = len(timesteps) // order
    warmup = len(timesteps) - steps * order
    run._num_timesteps = len(timesteps)
    changes = Changes()
    with run.progress_bar(total=steps) as progress:
        for i, t in enumerate(timesteps):
            run.check_cancelled()
            if run.interrupt:
                continue
            try:
                prediction = predict(i, t)
                latents = scheduler.step(prediction, t, tensors["latents"], **options).prev_sample
                tensors["latents"] = latents if keep is None else keep(i, t, latents)
            except Exception as error:
                changes.blame(error)
                raise
            if callback_on_step_end is not None:
                shown = {name: tensors[name] for name in callback_inputs}
                returned = callback_on_step_end(run, i, t, shown)
                replace(tensors, changes.of(returned, tensors))
            if i == len(timesteps) - 1 or (i + 1 > warmup and (i + 1) % order == 0):
                progress.update()
                if on_step is not None:
                    on_step(i, t, tensors["latents"])
    run.check_cancelled()
    denoised: Tensor = tensors["latents"]
    return denoised


def callback_inputs(callback: StepCallback | None, names: Sequence[str] | None) -> tuple[str, ...]:
    """The tensors that `callback` gets: its own `tensor_inputs` if it lists any, or `names`."""
    own = getattr(callback, "tensor_inputs", None)
    return tuple((own if isinstance(own, (list, tuple)) else None) or names or ())


def accepted_options(scheduler: SchedulerMixin, **wanted: Any) -> dict[str, Any]:
    """Those of `wanted` that `scheduler.step` has a parameter for (such as `eta`)."""
    known = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in wanted.items() if name in known}
