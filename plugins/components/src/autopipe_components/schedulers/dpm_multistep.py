"""The multistep update of DPM-Solver and DPM-Solver++, wherever their noise levels come from.

Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095, whose section 6 has the SDE.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .exponential import moments
from .integrator import STABLE_STEPS, Integrator
from .output import SchedulerOutput
from .step_index import Timestep


class MultistepDPM(Integrator):
    """Steps with the predictions of previous steps: one network call per step, order 1 to 3."""

    def _multistep(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        draw: Callable[[Tensor], Tensor | None],
        return_dict: bool,
    ) -> SchedulerOutput | tuple[Tensor]:
        """Return the sample after one step; `draw` returns noise for the SDE, like a prediction."""
        self._begin_step(model_output, timestep, sample)
        self._remember(self.convert_model_output(model_output, sample=sample))
        noise = draw(self.model_outputs[-1]) if self._stochastic else None
        return self._end_step(self._update(sample, self._order(), noise), return_dict)

    def _order(self) -> int:
        """Return the order of this step, lowered towards the end where that is more stable."""
        config, steps = self.config, len(self.timesteps)
        at_end = self._place == steps - 1
        if at_end and (config.euler_at_final or self._ends_clean):
            return 1
        return self._usable_order(lower_final=config.lower_order_final and steps < STABLE_STEPS)

    def _update(self, sample: Tensor, order: int, noise: Tensor | None) -> Tensor:
        """Return the next sample, by the polynomial through the last `order` predictions."""
        index = self._place
        span = self._span(index, index + 1)
        terms = moments(span.z, order)
        if order == 2 and self.config.solver_type == "midpoint":
            terms[1] = terms[0] / 2
        if order == 3:
            terms[2] /= 2
        if order == 3 and self._clean and self._stochastic:
            terms[2] += 1
        return self._integrate(sample, span, self._recent(order, index), terms, noise)
