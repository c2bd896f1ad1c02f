"""Heun's method (Karras et al. 2022, arXiv:2206.00364, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config

from .inputs import custom_schedule
from .options import check_one_schedule
from .output import DenoisingOutput as HeunDiscreteSchedulerOutput
from .prediction import original_of_sigma
from .sigma_base import SigmaScheduler
from .step_index import Timestep

__all__ = ["HeunDiscreteScheduler", "HeunDiscreteSchedulerOutput"]


class HeunDiscreteScheduler(SigmaScheduler):
    """Heun's method (Karras et al. 2022, arXiv:2206.00364, algorithm 1).

    It takes an Euler step, then the same step with the mean of the slopes at its two ends. Each
    step but the last, whose end has no slope, evaluates the network twice, so `timesteps` and
    `sigmas` contain the inner points twice.
    """

    order = 2

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        prediction_type: str = "epsilon",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None:
        self._build_betas()
        self.set_timesteps(num_train_timesteps)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        num_train_timesteps: int | None = None,
        timesteps: list[int] | None = None,
    ) -> None:
        """Set the schedule.

        Args:
            num_inference_steps: the number of steps, in the spacing of the config.
            device: the device of `timesteps`; `sigmas` stay on the CPU.
            num_train_timesteps: the number of timesteps to space over; by default that of the
                config.
            timesteps: custom timesteps, descending, instead of a number of steps.
        """
        check_one_schedule(self, num_inference_steps=num_inference_steps, timesteps=timesteps)
        self._refuse_respaced(timesteps)
        if timesteps is not None:
            spaced = custom_schedule(self, "timesteps", timesteps).astype(np.float32)
        else:
            assert num_inference_steps is not None
            spaced = self._spaced_float(num_inference_steps, num_train_timesteps)
        self._follow(spaced, device)
        self.timesteps = self.timesteps.repeat_interleave(2)[1:]
        self.sigmas = torch.cat([self.sigmas[:-1].repeat_interleave(2)[1:], self.sigmas[-1:]])
        self.prev_derivative: Tensor | None = None
        self.dt: Tensor | None = None
        self.sample: Tensor | None = None

    @property
    def state_in_first_order(self) -> bool:
        """Whether the next evaluation of the network is the first one of its step."""
        return self.dt is None

    def step(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> HeunDiscreteSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample after an Euler step or, in every other call, after the corrected step.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        self._check_step(model_output, timestep, sample)
        index = self._index_of(timestep)
        # Zero-dimensional tensors: faster than numbers where they only multiply samples.
        sigma = self.sigmas[index]
        original = original_of_sigma(self.config.prediction_type, model_output, sample, sigma)
        if self.config.clip_sample:
            limit = self.config.clip_sample_range
            original = original.clamp(-limit, limit)
        derivative = (sample - original) / sigma
        if self.prev_derivative is None or self.sample is None or self.dt is None:
            dt = self.sigmas[index + 1] - sigma
            self.prev_derivative, self.sample, self.dt = derivative, sample, dt
            previous = sample + derivative * dt
        else:
            previous = self.sample + (self.prev_derivative + derivative) * (self.dt / 2)
            self.prev_derivative = self.sample = self.dt = None
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return HeunDiscreteSchedulerOutput(previous, original)
