"""Improved pseudo linear multistep for networks that predict the velocity of waveforms.

Zhang & Chen 2022, "Fast Sampling of Diffusion Models with Exponential Integrator"
(arXiv:2204.13902), with the multistep of Liu et al. 2022 (arXiv:2202.09778, equation 12).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.wording import shown

from .betas import trained
from .checked import CheckedScheduler
from .inputs import check_noise, placed, timesteps_tensor
from .options import check_count
from .output import SchedulerOutput
from .pndm import ADAMS_BASHFORTH
from .prediction import predicted_noise, predicted_original, scalar
from .step_index import StepIndexMixin, Timestep, broadcast_to

_LEAST = 1e-8
"""What the weight of the clean sample is at least where it divides, at pure noise."""


class IPNDMScheduler(StepIndexMixin, CheckedScheduler):
    """IPNDM (Zhang & Chen 2022, arXiv:2204.13902): linear multistep along the noise.

    Timesteps are times from 1, noise, to 0. A sample is alpha * x0 + sigma * noise with
    alpha^2 + sigma^2 = 1, and the network predicts the velocity alpha * noise - sigma * x0.

    Args:
        trained_betas: the weights of the noise, descending to that of the last sample, in place of
            a schedule of the requested number of steps.
    """

    has_compatibles: ClassVar[bool] = False

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        trained_betas: np.ndarray | Sequence[float] | None = None,
    ) -> None:
        self._given = None if trained_betas is None else trained(self, trained_betas)
        if self._given is not None and len(self._given) < 2:
            raise SchedulerError(
                f"{type(self).__name__} needs two trained_betas at least, the start and the end of "
                f"a step, not {shown(trained_betas)}"
            )
        self.pndm_order = len(ADAMS_BASHFORTH)
        self.set_timesteps(num_train_timesteps)

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        check_count(self, "num_inference_steps", num_inference_steps)
        times = torch.linspace(1, 0, num_inference_steps + 1)
        self.betas = torch.sin(times * math.pi / 2) ** 2 if self._given is None else self._given
        self.alphas = (1 - self.betas**2) ** 0.5
        times = torch.atan2(self.betas, self.alphas) / math.pi * 2
        self.timesteps = placed(self, times[:-1], device)
        self.num_inference_steps = num_inference_steps
        self.ets: list[Tensor] = []
        self._rewind()

    def step(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> SchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the next time.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        self._check_step(model_output, timestep, sample)
        index = self._index_of(timestep)
        (alpha, sigma), (alpha_next, sigma_next) = (
            (scalar(self.alphas[i]), scalar(self.betas[i])) for i in (index, index + 1)
        )
        noise = predicted_noise("v_prediction", model_output, sample, alpha, sigma)
        self.ets = [*self.ets[1 - self.pndm_order :], noise]
        weights = ADAMS_BASHFORTH[len(self.ets) - 1]
        noise = sum(w * one for w, one in zip(weights, reversed(self.ets)))  # type: ignore[assignment]
        clean = predicted_original("epsilon", noise, sample, max(alpha, _LEAST), sigma)
        previous = alpha_next * clean + sigma_next * noise
        self._step_index = index + 1
        return SchedulerOutput(previous) if return_dict else (previous,)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return `original_samples` noised to `timesteps`, any times from 0 to 1, (B,).

        Raises:
            SchedulerError: if noise or timesteps don't fit the samples.
        """
        check_noise(self, original_samples, noise)
        times = timesteps_tensor(self, timesteps)
        if not ((times >= 0) & (times <= 1)).all():
            raise SchedulerError(
                f"{type(self).__name__} has the timesteps 1 to 0, not {shown(timesteps)}"
            )
        angles = times * math.pi / 2
        alpha, sigma = (broadcast_to(one, original_samples) for one in (angles.cos(), angles.sin()))
        return alpha * original_samples + sigma * noise
