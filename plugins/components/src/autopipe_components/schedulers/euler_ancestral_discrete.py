"""Ancestral sampling with Euler steps (Katherine Crowson's k-diffusion, 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from ..noise import randn_tensor
from .output import DenoisingOutput as EulerAncestralDiscreteSchedulerOutput
from .prediction import original_of_sigma
from .sigma_base import SigmaScheduler
from .sigmas import ancestral_split
from .step_index import refuse_integer_timestep

__all__ = ["EulerAncestralDiscreteScheduler", "EulerAncestralDiscreteSchedulerOutput"]


class EulerAncestralDiscreteScheduler(SigmaScheduler):
    """Ancestral sampling with Euler steps (Katherine Crowson's k-diffusion, 2022).

    It steps below the next noise level with Euler's method, then adds noise to reach it.
    """

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
    ) -> None:
        self._build_betas()

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        self._follow(self._spaced_float(num_inference_steps), device)

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> EulerAncestralDiscreteSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the next noise level.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample; the step is taken in float32.
            generator: the source of noise, which is drawn in every step, including the last.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        self._check_step(model_output, timestep, sample)
        refuse_integer_timestep(self, timestep)
        index = self._scaled_index_of(timestep)
        sigma = self._sigma(index)
        down, up = ancestral_split(sigma, self._sigma(index + 1))
        sample = sample.float()
        original = original_of_sigma(self.config.prediction_type, model_output, sample, sigma)
        previous = sample + (sample - original) / sigma * (down - sigma)
        noise = randn_tensor(model_output.shape, generator, model_output.device, model_output.dtype)
        previous = (previous + noise * up).to(model_output.dtype)
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return EulerAncestralDiscreteSchedulerOutput(previous, original)
