"""Ancestral sampling with midpoint steps (Katherine Crowson's k-diffusion, 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from ..noise import randn_tensor
from .k_dpm_2_discrete import MidpointScheduler, in_step
from .output import DenoisingOutput as KDPM2AncestralDiscreteSchedulerOutput
from .prediction import original_of_sigma, scalar
from .sigmas import ancestral_split
from .step_index import Timestep

__all__ = ["KDPM2AncestralDiscreteScheduler", "KDPM2AncestralDiscreteSchedulerOutput"]


class KDPM2AncestralDiscreteScheduler(MidpointScheduler):
    """Ancestral sampling with midpoint steps (Katherine Crowson's k-diffusion, 2022).

    It steps below the next noise level with the midpoint method, then adds noise to reach it.
    """

    sigmas_up: Tensor
    sigmas_down: Tensor

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None:
        self._build_betas()
        self.set_timesteps(num_train_timesteps)

    def set_timesteps(
        self,
        num_inference_steps: int,
        device: str | torch.device | None = None,
        num_train_timesteps: int | None = None,
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`.

        They are spaced over `num_train_timesteps` timesteps; by default those of the config.
        """
        sigmas, timesteps = self._spaced_levels(num_inference_steps, num_train_timesteps)
        down, up = ancestral_split(sigmas[:-1], sigmas[1:])
        midpoints = np.sqrt(sigmas[:-1] * down)
        self.sigmas = in_step(sigmas)
        self.sigmas_interpol = in_step(np.append(midpoints, np.float32(0)))
        self.sigmas_up = in_step(np.append(up, np.float32(0)))
        self.sigmas_down = in_step(np.append(down, np.float32(0)))
        self._interleave(timesteps, midpoints[:-1], device)

    def scale_model_input(self, sample: Tensor, timestep: Timestep) -> Tensor:  # type: ignore[override]
        """Return `sample` in the variance-preserving view, divided by sqrt(sigma^2 + 1)."""
        index = self._index_of(timestep)
        first = self.state_in_first_order
        level = self.sigmas[index] if first else self.sigmas_interpol[index - 1]
        return self._scaled(sample, scalar(level))

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> KDPM2AncestralDiscreteSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the midpoint or, in every other call, at the end of the step.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            generator: the source of noise, which is drawn only at the end of a step.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        self._check_step(model_output, timestep, sample)
        index = self._index_of(timestep)
        start = index if self.state_in_first_order else index - 1
        sigma = self._sigma(start)
        middle = scalar(self.sigmas_interpol[start])
        here = sigma if self.state_in_first_order else middle
        original = original_of_sigma(self.config.prediction_type, model_output, sample, here)
        derivative = (sample - original) / here
        if self.sample is None:
            self.sample = sample
            previous = sample + derivative * (middle - sigma)
        else:
            down, up = scalar(self.sigmas_down[start]), scalar(self.sigmas_up[start])
            noise = randn_tensor(
                model_output.shape, generator, model_output.device, model_output.dtype
            )
            previous = self.sample + derivative * (down - sigma) + noise * up
            self.sample = None
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return KDPM2AncestralDiscreteSchedulerOutput(previous, original)
