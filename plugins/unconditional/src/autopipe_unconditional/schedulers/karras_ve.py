"""Stochastic sampling with churn and Heun's method (Karras et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.outputs import BaseOutput
from autopipe.scheduling import SchedulerMixin
from autopipe_components.noise import randn_tensor
from autopipe_components.schedulers.churn import MAX_CHURN
from autopipe_components.schedulers.inputs import check_prediction, placed
from autopipe_components.schedulers.options import LIMITS, SIGMA, check_count, check_sigma_range
from autopipe_components.schedulers.step_index import Timestep
from autopipe_components.steps.codec import Generators

_USUAL_STEPS = 50


@dataclass
class KarrasVeOutput(BaseOutput):
    """The outputs of a step.

    Attributes:
        prev_sample: the sample at the next, lower noise level; same shape as the input.
        derivative: of the sample by the noise level.
        pred_original_sample: the clean sample as predicted in this step, for previews.
    """

    prev_sample: Tensor
    derivative: Tensor
    pred_original_sample: Tensor | None = None


class KarrasVeScheduler(SchedulerMixin):
    """Stochastic sampling of "Elucidating the Design Space of Diffusion-Based Generative Models"
    (Karras et al. 2022, arXiv:2206.00364, algorithm 2), at the noise levels of its table 1, column
    VE.

    `s_churn` is how much noise a walk adds in all, by steps at levels from `s_min` to `s_max`;
    `s_noise` is the standard deviation of that noise.
    """

    order = 2
    has_compatibles = False
    config_limits = {  # noqa: RUF012
        **LIMITS,
        **dict.fromkeys(("s_noise", "s_churn", "s_min", "s_max"), SIGMA),
    }

    schedule: Tensor
    """The noise level of each timestep, ascending."""

    @register_to_config
    def __init__(
        self,
        sigma_min: float = 0.02,
        sigma_max: float = 100,
        s_noise: float = 1.007,
        s_churn: float = 80,
        s_min: float = 0.05,
        s_max: float = 50,
    ) -> None:
        check_sigma_range(self, sigma_min, sigma_max)
        self.init_noise_sigma = sigma_max
        self.set_timesteps(_USUAL_STEPS)

    def __len__(self) -> int:
        return len(self.timesteps)

    def scale_model_input(self, sample: Tensor, timestep: Timestep | None = None) -> Tensor:
        """Return the input of the network: `sample`, unchanged."""
        return sample

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        check_count(self, "num_inference_steps", num_inference_steps)
        self.num_inference_steps = num_inference_steps
        steps = torch.arange(num_inference_steps - 1, -1, -1)
        high, low = self.config.sigma_max**2, self.config.sigma_min**2
        schedule = high * (low / high) ** (steps / max(num_inference_steps - 1, 1))
        self.timesteps = placed(self, steps, device)
        self.schedule = placed(self, schedule, device)

    def add_noise_to_input(
        self, sample: Tensor, sigma: float | Tensor, generator: Generators = None
    ) -> tuple[Tensor, Any]:
        """Return `sample` at a higher noise level, and that level.

        Args:
            sigma: the noise level of `sample`. Noise is drawn at any level.
            generator: the source of noise.
        """
        config = self.config
        churned = config.s_min <= sigma <= config.s_max
        gamma = min(config.s_churn / self.num_inference_steps, MAX_CHURN) if churned else 0
        noise = config.s_noise * randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        higher = sigma + gamma * sigma
        return sample + (higher**2 - sigma**2) ** 0.5 * noise, higher

    def step(
        self,
        model_output: Tensor,
        sigma_hat: float | Tensor,
        sigma_prev: float | Tensor,
        sample_hat: Tensor,
        return_dict: bool = True,
    ) -> KarrasVeOutput | tuple[Tensor, ...]:
        """Return the sample at `sigma_prev`, by Euler's method.

        Args:
            model_output: the prediction of the network for `sample_hat`; same shape.
            sigma_hat: the noise level of `sample_hat`; above zero.
            sigma_prev: the next noise level.
            sample_hat: the noisy sample.
            return_dict: if False, return the tuple `(prev_sample, derivative)`.
        """
        original, slope = self._slope(model_output, sigma_hat, sample_hat)
        previous = sample_hat + (sigma_prev - sigma_hat) * slope
        return KarrasVeOutput(previous, slope, original) if return_dict else (previous, slope)

    def step_correct(
        self,
        model_output: Tensor,
        sigma_hat: float | Tensor,
        sigma_prev: float | Tensor,
        sample_hat: Tensor,
        sample_prev: Tensor,
        derivative: Tensor,
        return_dict: bool = True,
    ) -> KarrasVeOutput | tuple[Tensor, ...]:
        """Return the sample at `sigma_prev`, by Heun's method.

        Args:
            model_output: the prediction of the network for `sample_prev`; same shape.
            sigma_hat, sigma_prev, sample_hat: as for `step`; `sigma_prev` is above zero.
            sample_prev, derivative: what `step` returned.
            return_dict: if False, return the tuple `(prev_sample, derivative)`.
        """
        original, slope = self._slope(model_output, sigma_prev, sample_prev)
        mean = 0.5 * derivative + 0.5 * slope
        previous = sample_hat + (sigma_prev - sigma_hat) * mean
        if not return_dict:
            return previous, derivative
        return KarrasVeOutput(previous, derivative, original)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Raise `SchedulerError`: networks for this scheduler are trained at any noise level."""
        raise SchedulerError(
            f"{type(self).__name__} has no forward process; add noise of a level of your own"
        )

    def _slope(
        self, model_output: Tensor, sigma: float | Tensor, sample: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the predicted clean sample, and the derivative at `sigma`."""
        check_prediction(self, model_output, sample, learned=False)
        original = sample + sigma * model_output
        return original, (sample - original) / sigma
