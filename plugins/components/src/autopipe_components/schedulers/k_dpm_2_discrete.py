"""DPM-Solver-2 (Lu et al. 2022, arXiv:2206.00927) along sigma (Katherine Crowson's k-diffusion).

The slope at the midpoint is used for the whole step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from autopipe.config import register_to_config

from .inputs import placed
from .output import DenoisingOutput as KDPM2DiscreteSchedulerOutput
from .prediction import original_of_sigma, scalar
from .sigma_base import SigmaScheduler
from .sigmas import timesteps_of
from .step_index import Timestep

__all__ = ["KDPM2DiscreteScheduler", "KDPM2DiscreteSchedulerOutput", "MidpointScheduler"]


class MidpointScheduler(SigmaScheduler):
    """The base of midpoint methods: a step uses the slope at its middle in log sigma.

    Each step but the last evaluates the network twice, so `timesteps` alternates between points
    and midpoints. `sigmas` contain their inner values twice, one for each of these timesteps.
    """

    order = 2
    sigmas_interpol: Tensor
    """The levels of the midpoints, in the form of `sigmas`."""
    sample: Tensor | None

    @property
    def state_in_first_order(self) -> bool:
        """Whether the next evaluation of the network is the first one of its step."""
        return self.sample is None

    def _spaced_levels(self, count: int, train_steps: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 sigmas with a final zero, and their timesteps; Karras ones are rounded."""
        sigmas, timesteps = self._noise_levels(self._spaced_float(count, train_steps))
        if self.config.use_karras_sigmas:
            timesteps = timesteps.round()
        return np.append(sigmas, 0).astype(np.float32), timesteps

    def _interleave(
        self,
        timesteps: np.ndarray,
        midpoints: np.ndarray,
        device: str | torch.device | None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """Set `timesteps`, each but the last followed by that of its midpoint."""
        between = timesteps_of(midpoints, self._train_sigmas())
        pairs = np.stack([timesteps[:-1], between], axis=1).flatten()
        schedule = np.append(pairs, timesteps[-1]).astype(dtype)
        self.num_inference_steps = len(timesteps)
        self.timesteps = placed(self, schedule, device)
        self.sample = None
        self._rewind()


def in_step(values: np.ndarray) -> Tensor:
    """Return `values`, the first once, the others twice: one per evaluation of the network."""
    return torch.from_numpy(np.append(values.repeat(2)[1:], values[-1:]))


class KDPM2DiscreteScheduler(MidpointScheduler):
    """DPM-Solver-2 (Lu et al. 2022, arXiv:2206.00927): the deterministic midpoint method."""

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
        midpoints = np.sqrt(sigmas[:-1] * sigmas[1:])
        self.sigmas = in_step(sigmas)
        self.sigmas_interpol = in_step(np.append(sigmas[:1], midpoints))
        self._interleave(timesteps, midpoints[:-1], device)

    def scale_model_input(self, sample: Tensor, timestep: Timestep) -> Tensor:  # type: ignore[override]
        """Return `sample` in the variance-preserving view, divided by sqrt(sigma^2 + 1)."""
        index = self._index_of(timestep)
        levels = self.sigmas if self.state_in_first_order else self.sigmas_interpol
        return self._scaled(sample, scalar(levels[index]))

    def step(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> KDPM2DiscreteSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the midpoint or, in every other call, at the end of the step.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        self._check_step(model_output, timestep, sample)
        index = self._index_of(timestep)
        start = index if self.state_in_first_order else index - 1
        # Zero-dimensional tensors: faster than numbers where they only multiply samples.
        sigma, middle = self.sigmas[start], self.sigmas_interpol[start + 1]
        here = sigma if self.state_in_first_order else middle
        original = original_of_sigma(self.config.prediction_type, model_output, sample, here)
        derivative = (sample - original) / here
        if self.sample is None:
            self.sample = sample
            previous = sample + derivative * (middle - sigma)
        else:
            previous = self.sample + derivative * (self.sigmas[start + 1] - sigma)
            self.sample = None
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return KDPM2DiscreteSchedulerOutput(previous, original)
