"""The denoising loop, which all families and tasks share.

For each timestep, it gets a prediction from the family, takes a step with the scheduler, lets the
task restore what must not change, reports progress, and checks for cancellation. It knows nothing
about latents, prompts or networks.
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
"""`on_step(index, timestep, latents)`; `index` is the index of the timestep."""

StepCallback = Callable[..., Any]
"""`callback(pipe, step, timestep, tensors) -> dict | None`; returned entries replace tensors."""

Replace = Callable[[Tensors, Tensors], None]
"""`replace(tensors, changes)` applies the changes of a step callback to the call's tensors."""


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
        run: the run of the call; its `interrupt` skips the remaining steps.
        tensors: the tensors of the call. `predict` reads them in each step.
        predict: `(step, timestep) -> prediction`, with guidance applied, in the form that the
            scheduler's `step` takes.
        timesteps: 1-D, in the order of the steps; `scheduler.order` entries form one solver step.
        steps: the requested number of solver steps, which the progress bar counts. Additional
            timesteps belong to the start of the solver and are not reported.
        scheduler: the scheduler; by default `run.scheduler`.
        step_options: additional arguments of `scheduler.step`; see `accepted_options`.
        keep: `(step, timestep, latents) -> latents`, called after each step to restore what the
            task must not change.
        callback_on_step_end: see `StepCallback`.
        callback_inputs: the names of the tensors that the callback receives.
        replace: see `Replace`; for families whose tensors depend on each other.
        on_step: called once for each completed solver step.

    Raises:
        ArgumentTypeError: if the callback returns something other than tensors by name.
        ArgumentError: if the callback returns tensors of the wrong shape.
        CancelledError: if the call is cancelled.
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
    """The tensors that `callback` receives: its `tensor_inputs` if it has any, else `names`."""
    own = getattr(callback, "tensor_inputs", None)
    return tuple((own if isinstance(own, (list, tuple)) else None) or names or ())


def accepted_options(scheduler: SchedulerMixin, **wanted: Any) -> dict[str, Any]:
    """Return those of `wanted` for which `scheduler.step` has a parameter (such as `eta`)."""
    known = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in wanted.items() if name in known}
