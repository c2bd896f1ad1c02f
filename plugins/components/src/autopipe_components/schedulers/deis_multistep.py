"""DEIS: Diffusion Exponential Integrator Sampler, multistep, with polynomials in log rho.

Zhang & Chen 2022, "Fast Sampling of Diffusion Models with Exponential Integrator"
(arXiv:2204.13902). Its log rho is -λ, so its step is the exact exponential integrator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config

from .exponential import moments
from .integrator import STABLE_STEPS
from .output import SchedulerOutput
from .solver_base import ExponentialSolver
from .step_index import Timestep


class DEISMultistepScheduler(ExponentialSolver):
    """DEIS (Zhang & Chen 2022, arXiv:2204.13902), multistep.

    It integrates the polynomial through the last `solver_order` (1 to 3) noise predictions.
    """

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
        algorithm_type: str = "deis",
        solver_type: str = "logrho",
        lower_order_final: bool = True,
        use_karras_sigmas: bool = False,
        use_exponential_sigmas: bool = False,
        use_beta_sigmas: bool = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
    ) -> None:
        self._build(orders=(1, 2, 3), clean=False)
        self._choose(
            "algorithm_type", ("deis",), dict.fromkeys(("dpmsolver", "dpmsolver++"), "deis")
        )
        others = ("midpoint", "heun", "bh1", "bh2")
        self._choose("solver_type", ("logrho",), dict.fromkeys(others, "logrho"))

    def set_timesteps(
        self,
        num_inference_steps: int,
        device: str | torch.device | None = None,
        mu: float | None = None,
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`.

        With `use_dynamic_shifting`, `mu` shifts flow sigmas by exp(mu). The schedule ends at the
        lowest trained noise level, since a noise prediction has no meaning without noise.
        """
        config = self.config
        visited = self._visited(num_inference_steps, config.timestep_spacing, config.steps_offset)
        sigmas, moved = self._noise_levels(visited, mu=mu)
        self._follow(moved, sigmas, self._lowest_sigma(sigmas), device)

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
        self._remember(self.convert_model_output(model_output, sample=sample))
        few = len(self.timesteps) < STABLE_STEPS
        order = self._usable_order(lower_final=self.config.lower_order_final and few)
        span = self._span(index, index + 1)
        previous = self._integrate(sample, span, self._recent(order, index), moments(span.z, order))
        return self._end_step(previous, return_dict)
