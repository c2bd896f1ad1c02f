"""Multistep DPM-Solver++ with EDM's preconditioning (Lu et al. 2022, arXiv:2211.01095)."""

from __future__ import annotations

from torch import Generator, Tensor

from autopipe.config import register_to_config

from ..output import SchedulerOutput
from ..step_index import Timestep
from .base import EDMSolver


class EDMDPMSolverMultistepScheduler(EDMSolver):
    """Multistep DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095) with EDM's preconditioning.

    For networks that were trained so (Karras et al. 2022, arXiv:2206.00364), such as Playground
    2.5. `algorithm_type` selects the ODE (`dpmsolver++`) or the SDE (`sde-dpmsolver++`).
    """

    @register_to_config
    def __init__(
        self,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        sigma_data: float = 0.5,
        sigma_schedule: str = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: str = "epsilon",
        rho: float = 7.0,
        solver_order: int = 2,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "dpmsolver++",
        solver_type: str = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        final_sigmas_type: str = "zero",
    ) -> None:
        self._build_solver(orders=(1, 2, 3))
        kinds = ("dpmsolver++", "sde-dpmsolver++")
        chosen = self._choose("algorithm_type", kinds, {"deis": "dpmsolver++"})
        self._stochastic = chosen.startswith("sde-")

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
            generator: the source of noise for the SDE.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `timestep` is not in the schedule.
        """

        def draw(like: Tensor) -> Tensor | None:
            return self._noise(like, generator, like.dtype)

        return self._multistep(model_output, timestep, sample, draw, return_dict)
