"""Multistep DPM-Solver in the other direction (Lu et al. 2022, arXiv:2206.00927, arXiv:2211.01095).

The diffusion ODE has no direction, so the steps are those of the solver, along a schedule that
ascends.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from .dpm_multistep import MultistepDPM
from .dpm_solver_base import DPMSolver
from .options import check_count
from .output import SchedulerOutput
from .sigmas import interpolated, respaced, timesteps_of
from .spacing import spaced_timesteps, trailing
from .step_index import Timestep


class DPMSolverMultistepInverseScheduler(MultistepDPM, DPMSolver):
    """Multistep DPM-Solver from the picture to the noise that draws it (Lu et al. 2022).

    `timesteps` ascend. arXiv:2206.00927, arXiv:2211.01095.
    """

    algorithm_types = ("dpmsolver", "dpmsolver++")
    # The SDE has a direction, so its solvers go back along the ODE.
    algorithm_stand_ins = MappingProxyType(
        {
            **DPMSolver.algorithm_stand_ins,
            "sde-dpmsolver": "dpmsolver",
            "sde-dpmsolver++": "dpmsolver++",
        }
    )
    listed = False
    _descending = False

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
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        lambda_min_clipped: float = -float("inf"),
        variance_type: str | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None:
        self._build_dpm()
        self.timesteps = self.timesteps.flip(0).float()
        self.sigmas = self.sigmas[:-1].flip(0)

    def set_timesteps(  # type: ignore[override]
        self, num_inference_steps: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        config, train = self.config, self._train_sigmas()
        visited = self._ascending(num_inference_steps)
        levels = respaced(self._declared, train, len(visited))
        if levels is not None:
            visited = timesteps_of(levels, train)
            visited = visited.round() if config.use_karras_sigmas else visited
        elif config.use_flow_sigmas:
            levels, visited = self._flow(len(visited), self._flow_shift(None))
        own = levels is not None
        levels = interpolated(visited, train) if levels is None else levels
        last = levels[-1] if own else train[: self._lambda_clip()][-1]
        # Levels stay where rounding makes timesteps equal; a run then ends before the last level.
        self._follow(np.asarray(list(dict.fromkeys(visited.tolist()))), levels, float(last), device)

    def _ascending(self, count: int | None) -> np.ndarray:
        """Return `count` ascending timesteps, spaced with one more step to pure noise."""
        check_count(self, "num_inference_steps", count)
        assert count is not None
        self._check_steps(count)
        config, end = self.config, self._lambda_clip()
        if config.timestep_spacing == "trailing":
            return trailing(count, end, config.num_train_timesteps)[::-1]
        offset = config.steps_offset
        return spaced_timesteps(config.timestep_spacing, count + 1, end, offset)[:0:-1]

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        variance_noise: Tensor | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor]:
        """Return the sample after one step, with more noise, at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape, except for
                channels of a learned variance.
            timestep: the timestep of `sample`.
            sample: the sample, shape (B, C, ...).
            generator, variance_noise: not used, since the ODE draws no noise.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `timestep` is not in the schedule.
        """
        return self._multistep(model_output, timestep, sample, lambda _: None, return_dict)
