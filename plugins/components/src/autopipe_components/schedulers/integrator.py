"""The steps of solvers with the exponential integrator: place, history, and the update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from ..noise import randn_tensor
from .checked import CheckedScheduler
from .exponential import NoiseLevel, Span, weights
from .output import SchedulerOutput
from .step_index import StepIndexMixin, Timestep

STABLE_STEPS = 15
"""With `lower_order_final`, schedules with fewer steps than this end with lower orders."""


class Integrator(StepIndexMixin, CheckedScheduler):
    """A scheduler that integrates a polynomial through predictions, in the exact variable λ.

    `sigmas` are the noise levels of all timesteps and of the end, float32 on the CPU. Subclasses
    say by `_level` which weights of clean sample and noise they stand for, and implement
    `convert_model_output`.
    """

    sigmas: Tensor
    model_outputs: list[Tensor]
    """The last predictions in the form that the solver integrates, the newest last."""

    _clean: bool = True
    """Whether the solver integrates the predicted clean sample instead of the predicted noise."""
    _stochastic: bool = False
    """Whether the solver solves the SDE, which draws noise, instead of the ODE."""

    def _level(self, index: int) -> NoiseLevel:
        """Return the weights of clean sample and noise at an index of the schedule."""
        raise NotImplementedError

    def convert_model_output(self, model_output: Tensor, *, sample: Tensor) -> Tensor:
        """Return the clean sample or the noise that the output of the network represents."""
        raise NotImplementedError

    @property
    def _ends_clean(self) -> bool:
        """Whether the schedule ends without noise."""
        return self._declared.get("final_sigmas_type") == "zero"

    def _history(self) -> int:
        """Return the number of predictions that the solver remembers."""
        return int(self.config.solver_order)

    def _begin_step(self, model_output: Tensor, timestep: Timestep, sample: Tensor) -> int:
        """Return the index of this step.

        Raises:
            SchedulerError: if `set_timesteps` was not called, the schedule is at its end, or the
                arguments don't fit together.
        """
        self._steps()
        self._check_step(model_output, timestep, sample)
        if self._step_index is None and self._begin_index is None:
            # Rounding can make the first timesteps equal; a run that starts there starts at 0.
            at_start = float(timestep) == float(self.timesteps[0])
            self._step_index = 0 if at_start else self.index_for_timestep(timestep)
        return self._index_of(timestep)

    @property
    def _place(self) -> int:
        """The index of the current step; before the first step, the begin index."""
        return self._step_index if self._step_index is not None else self._begin_index or 0

    def _remember(self, output: Tensor) -> None:
        """Add a prediction to the history, whose length is that of the solver."""
        self.model_outputs = [*self.model_outputs, output][-self._history() :]

    def _recent(self, count: int, index: int) -> dict[int, Tensor]:
        """Return the last `count` predictions by schedule index; the newest is at `index`."""
        return {index - k: self.model_outputs[-1 - k] for k in range(count)}

    def _usable_order(self, *, lower_final: bool) -> int:
        """Return this step's order, limited by the history and, if `lower_final`, by steps left."""
        order = min(int(self.config.solver_order), len(self.model_outputs))
        return min(order, len(self.timesteps) - self._place) if lower_final else order

    def _end_step(self, previous: Tensor, return_dict: bool) -> SchedulerOutput | tuple[Tensor]:
        """Count the step that led to `previous`, and return it according to `return_dict`."""
        self._step_index = self._place + 1
        return SchedulerOutput(previous) if return_dict else (previous,)

    def _span(self, start: int, stop: int, tau: float | None = None) -> Span:
        """Return the span between two indices of the schedule; `tau` scales the noise of the SDE.

        By default it is 1 for the SDE and 0 for the ODE.
        """
        share = float(self._stochastic) if tau is None else tau
        return Span.between(self._level(start), self._level(stop), clean=self._clean, tau=share)

    def _noise(
        self, sample: Tensor, generator: Generator | list[Generator] | None, dtype: torch.dtype
    ) -> Tensor | None:
        """Return noise for a step of the SDE; None for the ODE."""
        if not self._stochastic:
            return None
        return randn_tensor(sample.shape, generator=generator, device=sample.device, dtype=dtype)

    def _integrate(
        self,
        sample: Tensor,
        span: Span,
        outputs: Mapping[int, Tensor],
        moments: Sequence[float],
        noise: Tensor | None = None,
    ) -> Tensor:
        """Return the sample at the end of `span`, from `sample` at its start.

        Args:
            sample: any shape and dtype; it is computed in float32 or better.
            span: the step to take.
            outputs: predictions, by their index in the schedule.
            moments: the integrals of the terms of the polynomial, one for each of the outputs.
            noise: standard normal, for the SDE.
        """
        if span.length == 0:
            return sample
        known: dict[float, Tensor] = {}
        for index, output in outputs.items():
            # Of predictions at equal noise levels only the first, which is the newest, is used.
            node = float((self._level(index).log_snr - span.start) / span.length)
            known.setdefault(node, output)
        wide = sample.to(torch.promote_types(sample.dtype, torch.float32))
        result: Tensor = wide * span.decay
        for weight, output in zip(weights(list(known), moments), known.values()):
            result = result.add(output, alpha=float(-span.scale * weight))
        if noise is not None:
            result = result.add(noise.to(result.device), alpha=float(span.spread))
        return result.to(sample.dtype)
