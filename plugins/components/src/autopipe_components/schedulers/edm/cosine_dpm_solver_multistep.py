"""DPM-Solver++ SDE for networks that take the angle of the noise level, such as Stable Audio.

Lu et al. 2022, "DPM-Solver++" (arXiv:2211.01095); Evans et al. 2024, "Stable Audio Open"
(arXiv:2407.14358).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from ...noise import sources
from ..brownian import BrownianNoise, drawn_seed, torchsde
from ..output import SchedulerOutput
from ..step_index import Timestep
from .base import EDMSolver


class CosineDPMSolverMultistepScheduler(EDMSolver):
    """Multistep DPM-Solver++ SDE with the noise of a Brownian path (Evans et al. 2024).

    The network takes 2/pi * atan(sigma) as its timestep. The seed of the path is that of the
    generator.

    Raises:
        MissingPackageError: by `set_timesteps`, without the package torchsde.
    """

    has_compatibles = False
    noise_sampler: BrownianNoise | None = None
    _stochastic = True

    @register_to_config
    def __init__(
        self,
        sigma_min: float = 0.3,
        sigma_max: float = 500,
        sigma_data: float = 1.0,
        sigma_schedule: str = "exponential",
        num_train_timesteps: int = 1000,
        solver_order: int = 2,
        prediction_type: str = "v_prediction",
        rho: float = 7.0,
        solver_type: str = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        final_sigmas_type: str = "zero",
    ) -> None:
        self._build_solver(orders=(1, 2))

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`.

        Raises:
            MissingPackageError: if the package torchsde is not installed.
        """
        torchsde(self)
        super().set_timesteps(num_inference_steps, device)
        self.noise_sampler = None

    def _told(self, levels: Tensor) -> Tensor:
        """Return what the network is told of noise levels: their angles, from 0 to 1."""
        return levels.atan() / math.pi * 2

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
            model_output: the output of the network for `sample`; same shape.
            timestep: the timestep of `sample`.
            sample: the noisy sample, shape (B, C, ...).
            generator: its initial seed is that of the path. A list gives each sample a path of its
                own.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `timestep` is not in the schedule.
        """

        def draw(like: Tensor) -> Tensor | None:
            if self.noise_sampler is None:
                seeds = [
                    drawn_seed(None) if one is None else one.initial_seed()
                    for one in sources(generator, len(like))
                ]
                ends = self.config.sigma_min, self.config.sigma_max
                seed = seeds if len(seeds) > 1 else seeds[0]
                self.noise_sampler = BrownianNoise(self, like, *ends, seed)
            sigma, following = self.sigmas[self._place], self.sigmas[self._place + 1]
            # The last step may add no noise, and end beyond the path.
            return self.noise_sampler(sigma, following) if 0 < following < sigma else None

        return self._multistep(model_output, timestep, sample, draw, return_dict)
