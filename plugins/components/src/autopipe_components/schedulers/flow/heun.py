"""Heun's method for flows (Karras et al. 2022, arXiv:2206.00364, algorithm 1)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from ..churn import Churn
from ..inputs import placed
from ..output import SchedulerOutput as FlowMatchHeunDiscreteSchedulerOutput
from ..solver_base import shifted
from .base import FlowScheduler

__all__ = ["FlowMatchHeunDiscreteScheduler", "FlowMatchHeunDiscreteSchedulerOutput"]


class FlowMatchHeunDiscreteScheduler(FlowScheduler):
    """Heun's method along a flow (Karras et al. 2022, arXiv:2206.00364, algorithm 1).

    It takes an Euler step, then the same step with the mean of the velocities at its two ends. Each
    step but the last evaluates the network twice, so `timesteps` has the inner points twice.
    """

    order = 2

    @register_to_config
    def __init__(self, num_train_timesteps: int = 1000, shift: float = 1.0) -> None:
        self._build_levels(shift)
        self._restart()

    def _restart(self) -> None:
        self.prev_derivative: Tensor | None = None
        self.dt: float | None = None
        self.sample: Tensor | None = None
        self._rewind()

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        total = self.config.num_train_timesteps
        even = self._even_timesteps(num_inference_steps) / total
        levels = shifted(even, self.config.shift).astype(np.float32)
        self.timesteps = placed(self, (levels * np.float32(total)).repeat(2)[1:], device)
        self.sigmas = torch.from_numpy(np.append(levels.repeat(2)[1:], np.float32(0)))
        self.num_inference_steps = num_inference_steps
        self._restart()

    @property
    def state_in_first_order(self) -> bool:
        """Whether the next evaluation of the network is the first one of its step."""
        return self.dt is None

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> FlowMatchHeunDiscreteSchedulerOutput | tuple[Tensor]:
        """Return the sample after an Euler step or, in every other call, after the corrected step.

        Args:
            model_output: the predicted velocity; same shape as `sample`.
            timestep: one of `timesteps`.
            sample: the noisy sample; the step is taken in float32.
            s_churn, s_tmin, s_tmax, s_noise: the amount of noise added before the step, the lowest
                and highest level at which it is added, and its scale; by default no noise.
            generator: the source of that noise.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        index = self._begin(model_output, timestep, sample)
        start = index if self.state_in_first_order else index - 1
        level, following = self._level(start), self._level(start + 1)
        sample, raised = Churn(s_churn, s_tmin, s_tmax, s_noise).raise_level(
            self,
            sample.float(),
            level,
            steps=len(self.sigmas) - 1,
            like=model_output,
            generator=generator,
        )
        if self.prev_derivative is None or self.sample is None or self.dt is None:
            derivative = (sample - (sample - model_output * level)) / raised
            self.prev_derivative, self.sample, self.dt = derivative, sample, following - raised
            previous = sample + derivative * self.dt
        else:
            derivative = (sample - (sample - model_output * following)) / following
            previous = self.sample + (self.prev_derivative + derivative) * (0.5 * self.dt)
            self.prev_derivative = self.sample = self.dt = None
        previous = previous.to(model_output.dtype)
        self._step_index = index + 1
        if not return_dict:
            return (previous,)
        return FlowMatchHeunDiscreteSchedulerOutput(previous)
