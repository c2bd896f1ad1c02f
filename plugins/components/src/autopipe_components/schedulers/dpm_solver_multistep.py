"""DPM-Solver and DPM-Solver++, multistep.

Lu et al. 2022, "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around
10 Steps" (arXiv:2206.00927) and "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
Probabilistic Models" (arXiv:2211.01095), whose section 6 has the SDE.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from .dpm_multistep import MultistepDPM
from .dpm_solver_base import DPMSolver
from .output import SchedulerOutput
from .step_index import Timestep


class DPMSolverMultistepScheduler(MultistepDPM, DPMSolver):
    """Multistep DPM-Solver and DPM-Solver++ (Lu et al. 2022, arXiv:2206.00927, arXiv:2211.01095).

    It reuses the predictions of previous steps: one network call per step, order 1 to 3.
    `algorithm_type` selects what is integrated, the predicted clean sample (`dpmsolver++`) or noise
    (`dpmsolver`), and the ODE or the SDE (`sde-...`). The third order is that of the authors' code,
    which weights the second derivative by half; for `sde-dpmsolver++` it is that of diffusers,
    which adds it once too often. Both converge with second order.
    """

    algorithm_types = ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++")

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
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        use_karras_sigmas: bool = False,
        use_exponential_sigmas: bool = False,
        use_beta_sigmas: bool = False,
        use_lu_lambdas: bool = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: str = "zero",
        lambda_min_clipped: float = -float("inf"),
        variance_type: str | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
    ) -> None:
        self._build_dpm()

    def _spaced(self, num_inference_steps: int) -> np.ndarray:
        config = self.config
        return self._visited(
            num_inference_steps, config.timestep_spacing, config.steps_offset, self._lambda_clip()
        )

    def _noise_levels(
        self, timesteps: np.ndarray, *, mu: float | None = None, rounded: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        rounded = self.config.beta_schedule != "squaredcos_cap_v2"
        return super()._noise_levels(timesteps, mu=mu, rounded=rounded)

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        variance_noise: Tensor | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor]:
        """Return the sample after one step, at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape, except for
                channels of a learned variance.
            timestep: the timestep of `sample`.
            sample: the noisy sample, shape (B, C, ...).
            generator: the source of noise for the SDE.
            variance_noise: the noise itself, instead of a generator.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `timestep` is not in the schedule.
        """
        return self._multistep(
            model_output,
            timestep,
            sample,
            lambda _: (
                self._noise(sample, generator, torch.float32)
                if variance_noise is None
                else variance_noise
            ),
            return_dict,
        )
