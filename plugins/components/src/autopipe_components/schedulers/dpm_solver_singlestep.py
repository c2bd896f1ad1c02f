"""DPM-Solver and DPM-Solver++, singlestep.

Lu et al. 2022, "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around
10 Steps" (arXiv:2206.00927, algorithms 1 and 2) and "DPM-Solver++: Fast Solver for Guided Sampling
of Diffusion Probabilistic Models" (arXiv:2211.01095, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from .dpm_solver_base import DPMSolver
from .exponential import moments
from .options import check_count
from .output import SchedulerOutput
from .step_index import Timestep


class DPMSolverSinglestepScheduler(DPMSolver):
    """Singlestep DPM-Solver and DPM-Solver++ (Lu et al. 2022, arXiv:2206.00927, arXiv:2211.01095).

    Steps form groups of `solver_order` network calls, and each group starts from its own sample.
    Within a group, the step of order k replaces that of order k - 1: it goes from the start of the
    group to the same point as all steps so far, with one more prediction. The third order of
    `sde-dpmsolver++` with `heun` is that of diffusers, which adds the second derivative once too
    often.
    """

    algorithm_types = ("dpmsolver", "dpmsolver++", "sde-dpmsolver++")

    order_list: list[int]
    """The orders of all steps."""
    sample: Tensor | None = None
    """The sample at the start of the current group of steps."""

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
        algorithm_type: str = "dpmsolver++",
        solver_type: str = "midpoint",
        lower_order_final: bool = False,
        use_karras_sigmas: bool = False,
        use_exponential_sigmas: bool = False,
        use_beta_sigmas: bool = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: str = "zero",
        lambda_min_clipped: float = -float("inf"),
        variance_type: str | None = None,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
    ) -> None:
        self._build_dpm()
        self.order_list = self.get_order_list(num_train_timesteps)

    def get_order_list(self, num_inference_steps: int) -> list[int]:
        """Return the orders of all steps: 1, 2 and so on up to `solver_order`, then again from 1.

        The last group ends with order 1 if it is complete and the config sets `lower_order_final`,
        or if the schedule ends without noise.
        """
        check_count(self, "num_inference_steps", num_inference_steps)
        config = self.config
        orders = [index % config.solver_order + 1 for index in range(num_inference_steps)]
        whole = orders[-1] == config.solver_order
        if config.final_sigmas_type == "zero" or (whole and config.lower_order_final):
            orders[-1] = 1
        return orders

    def _spaced(self, num_inference_steps: int) -> np.ndarray:
        return self._visited(num_inference_steps, "linspace", end=self._lambda_clip())

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        mu: float | None = None,
        timesteps: Sequence[int] | None = None,
    ) -> None:
        super().set_timesteps(num_inference_steps, device, mu, timesteps)
        self.order_list = self.get_order_list(len(self.timesteps))
        self.sample = None

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor]:
        """Return the sample after one step, at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape, except for
                channels of a learned variance.
            timestep: the timestep of `sample`.
            sample: the noisy sample, shape (B, C, ...).
            generator: the source of noise for the SDE.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `timestep` is not in the schedule.
        """
        index = self._begin_step(model_output, timestep, sample)
        output = self.convert_model_output(model_output, sample=sample)
        self._remember(output)
        noise = self._noise(sample, generator, output.dtype)
        # A run that starts within a group has no predictions from the start of the group.
        order = min(self.order_list[index], len(self.model_outputs))
        if order == 1:
            self.sample = sample
        assert self.sample is not None, "a group starts with order 1"
        return self._end_step(self._update(self.sample, order, noise), return_dict)

    def _update(self, sample: Tensor, order: int, noise: Tensor | None) -> Tensor:
        """Return the next sample, by the polynomial through `order` predictions since `sample`.

        With the solver type `midpoint`, the third order uses the first and the last of them.
        """
        index, midpoint = self._place, self.config.solver_type == "midpoint"
        span = self._span(index + 1 - order, index + 1)
        outputs, terms = self._recent(order, index), moments(span.z, order)
        if order == 2 and midpoint:
            terms[1] = terms[0] / 2
        if order == 3 and midpoint:
            del outputs[index - 1]
        elif order == 3 and self._stochastic:
            terms[2] += 2
        return self._integrate(sample, span, outputs, terms, noise)
