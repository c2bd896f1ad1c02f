"""UniPC: a unified predictor-corrector.

Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion
Models" (arXiv:2302.04867, algorithms 5 to 8).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.scheduling import SchedulerMixin
from autopipe.values import Range
from autopipe.wording import shown

from .exponential import moments
from .inputs import custom_schedule
from .output import SchedulerOutput
from .solver_base import FINAL_SIGMAS, ExponentialSolver, shifted
from .step_index import Timestep

LARGEST_FLOW_SIGMA = 1 - 1e-6
"""Upper limit of the first sigma of a flow; at 1 there is no signal and λ is infinite."""


class UniPCMultistepScheduler(ExponentialSolver):
    """UniPC (Zhao et al. 2023, arXiv:2302.04867), multistep.

    Each step is predicted from the last `solver_order` outputs. The next call of the network then
    gives the output at its end, with which the step is corrected to an order that is higher by one,
    without a further call. `solver_p` replaces the predictor; `disable_corrector` lists the steps
    that are not corrected. B(h), which the lowest orders depend on, is h for `bh1` and exp(h) - 1
    for `bh2`.
    """

    time_shift_types = ("exponential", "linear")

    this_order: int = 1
    last_sample: Tensor | None = None
    """The sample from which the last step started."""

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        solver_order: int = 2,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        predict_x0: bool = True,
        solver_type: str = "bh2",
        lower_order_final: bool = True,
        disable_corrector: Sequence[int] = [],
        solver_p: SchedulerMixin | None = None,
        use_karras_sigmas: bool = False,
        use_exponential_sigmas: bool = False,
        use_beta_sigmas: bool = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        final_sigmas_type: str = "zero",
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        shift_terminal: float | None = None,
    ) -> None:
        self._build(clean=predict_x0)
        others = ("midpoint", "heun", "logrho")
        self._choose("solver_type", ("bh1", "bh2"), dict.fromkeys(others, "bh2"))
        self._choose("final_sigmas_type", FINAL_SIGMAS)
        if shift_terminal is not None and not use_flow_sigmas:
            raise SchedulerError(
                "UniPCMultistepScheduler supports shift_terminal for flow sigmas only"
            )
        if solver_p is not None and not hasattr(solver_p, "set_timesteps"):
            raise SchedulerError(
                f"UniPCMultistepScheduler takes a scheduler as solver_p, not {shown(solver_p)}"
            )
        self.solver_p = solver_p

    def copy(self) -> UniPCMultistepScheduler:
        twin = super().copy()
        twin.solver_p = copy.deepcopy(self.solver_p)
        return twin

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | np.ndarray | None = None,
        mu: float | None = None,
    ) -> None:
        """Set the schedule, from a number of steps or from the sigmas of a flow.

        Args:
            num_inference_steps: the number of steps; by default that of `sigmas`.
            device: the device of `timesteps`.
            sigmas: custom noise levels in (0, 1], descending, before they are shifted.
            mu: shifts flow sigmas by exp(mu) or mu, depending on `time_shift_type`; required with
                `use_dynamic_shifting`.

        Raises:
            SchedulerError: if the arguments don't define a schedule, or the solver of this config
                can't reach its end.
        """
        config = self.config
        if config.use_dynamic_shifting and mu is None:
            raise SchedulerError(
                "UniPCMultistepScheduler.set_timesteps needs mu with use_dynamic_shifting=True"
            )
        self._check_end()
        if sigmas is not None:
            levels, visited = self._custom(sigmas, mu)
        else:
            if num_inference_steps is None:
                raise SchedulerError(
                    "UniPCMultistepScheduler.set_timesteps takes num_inference_steps or sigmas; "
                    "give one of them"
                )
            visited = self._visited(
                num_inference_steps, config.timestep_spacing, config.steps_offset
            )
            levels, visited = self._noise_levels(visited, mu=mu)
        self._follow(visited, levels, self._final_sigma(self._lowest_sigma(levels)), device)
        self.last_sample = None
        if self.solver_p is not None:
            self.solver_p.set_timesteps(self.num_inference_steps, device=device)

    def _check_end(self) -> None:
        """Raise `SchedulerError` if the last step of the predictor would be infinite."""
        config = self.config
        if config.final_sigmas_type != "zero" or self.solver_p is not None:
            return
        for option, value in (("solver_type", "bh1"), ("predict_x0", False)):
            if config[option] == value:
                raise SchedulerError(
                    f"UniPCMultistepScheduler with {option}={shown(value)} can't end at a noise "
                    "level of zero, where its step is infinite; set final_sigmas_type='sigma_min'"
                )

    def _noise_levels(
        self, timesteps: np.ndarray, *, mu: float | None = None, rounded: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        sigmas, moved = super()._noise_levels(timesteps, mu=mu, rounded=rounded)
        if self.config.use_flow_sigmas and self.config.use_karras_sigmas:
            sigmas = sigmas / (sigmas + 1)
            moved = sigmas * self.config.num_train_timesteps
        return sigmas, moved

    def _flow(self, count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
        total = self.config.num_train_timesteps
        return self._shifted(np.linspace(1, 1 / total, count + 1)[:-1], shift)

    def _shifted(self, sigmas: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray]:
        """Return flow sigmas, shifted and stretched by the config, and their timesteps."""
        sigmas, terminal = shifted(sigmas, shift), self.config.shift_terminal
        if terminal and sigmas[-1] == 1:
            raise SchedulerError(
                "shift_terminal can't stretch a schedule of one step; use more steps"
            )
        if terminal:
            sigmas = 1 - (1 - sigmas) * (1 - terminal) / (1 - sigmas[-1])
        sigmas = np.minimum(sigmas, LARGEST_FLOW_SIGMA)
        return sigmas, sigmas * self.config.num_train_timesteps

    def _custom(
        self, sigmas: Sequence[float] | np.ndarray, mu: float | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the schedule of custom sigmas of a flow."""
        if not self.config.use_flow_sigmas or self._respaces:
            raise SchedulerError(
                "UniPCMultistepScheduler takes custom sigmas only with use_flow_sigmas=True and no "
                "other kind of sigmas; create it with from_config and these options"
            )
        levels = custom_schedule(self, "sigmas", sigmas, Range(high=1, above=0))
        return self._shifted(levels, self._flow_shift(mu))

    def step(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> SchedulerOutput | tuple[Tensor]:
        """Return the sample after one step, at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: the timestep of `sample`.
            sample: the noisy sample.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `timestep` is not in the schedule.
        """
        index = self._begin_step(model_output, timestep, sample)
        output = self.convert_model_output(model_output, sample=sample)
        if self.last_sample is not None and index - 1 not in self.config.disable_corrector:
            sample = self._correct(self.last_sample, output, self.this_order)
        self._remember(output)
        self.last_sample = sample
        self.this_order = self._usable_order(lower_final=self.config.lower_order_final)
        if self.solver_p is not None:
            previous = self.solver_p.step(model_output, timestep, sample, return_dict=False)[0]
        else:
            previous = self._predict(sample, self.this_order)
        return self._end_step(previous, return_dict)

    def _predict(self, sample: Tensor, order: int) -> Tensor:
        """Return the next sample by UniP, with the polynomial through the last `order` outputs."""
        index = self._place
        span = self._span(index, index + 1)
        terms = moments(span.z, order)
        if order == 2:
            terms[1] = self._b(span.z) / 2
        return self._integrate(sample, span, self._recent(order, index), terms)

    def _correct(self, last_sample: Tensor, output: Tensor, order: int) -> Tensor:
        """Return this sample corrected by UniC, from the last one and the `output` at this one."""
        index = self._place
        span = self._span(index - 1, index)
        terms = moments(span.z, order + 1)
        if order == 1:
            terms[1] = self._b(span.z) / 2
        outputs = {index: output, **self._recent(order, index - 1)}
        return self._integrate(last_sample, span, outputs, terms)

    def _b(self, z: float) -> float:
        """Return B(h), on which only the two-point formulas depend."""
        return z if self.config.solver_type == "bh1" else math.expm1(z)
