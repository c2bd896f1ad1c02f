"""The variance-exploding SDE, sampled by a predictor and a corrector (Song et al. 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.scheduling import SchedulerMixin
from autopipe.values import Range
from autopipe_components.noise import randn_tensor
from autopipe_components.schedulers.inputs import (
    check_noise,
    check_number,
    check_prediction,
    check_timestep,
    check_timesteps,
    placed,
)
from autopipe_components.schedulers.options import LIMITS, SIGMA, check_count, check_sigma_range
from autopipe_components.schedulers.output import SchedulerOutput
from autopipe_components.schedulers.step_index import Timestep, broadcast_to
from autopipe_components.steps.codec import Generators

_EPS = Range(0, 1)


@dataclass
class SdeVeOutput(SchedulerOutput):
    """`prev_sample_mean`: `prev_sample` without the noise that the step added."""

    prev_sample_mean: Tensor | None = None


class ScoreSdeVeScheduler(SchedulerMixin):
    """The variance-exploding SDE of "Score-Based Generative Modeling through Stochastic
    Differential Equations" (Song et al. 2021, arXiv:2011.13456, algorithms 2 and 4).

    Networks predict the score. Timesteps run from 1 to `sampling_eps`; their noise levels lie
    between `sigma_max` and `sigma_min` on a geometric scale. `correct_steps` corrections precede
    each step of the predictor, of a length that `snr` gives.
    """

    has_compatibles = False
    config_limits = {  # noqa: RUF012
        **LIMITS,
        "snr": Range(0, 1e9),
        "sampling_eps": _EPS,
        "correct_steps": Range(0, 1000),
    }

    sigmas: Tensor
    discrete_sigmas: Tensor

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 2000,
        snr: float = 0.15,
        sigma_min: float = 0.01,
        sigma_max: float = 1348.0,
        sampling_eps: float = 1e-5,
        correct_steps: int = 1,
    ) -> None:
        self.init_noise_sigma = sigma_max
        self.set_timesteps(num_train_timesteps)
        self.set_sigmas(num_train_timesteps)

    def scale_model_input(self, sample: Tensor, timestep: Timestep | None = None) -> Tensor:
        """Return the input of the network: `sample`, unchanged."""
        return sample

    def set_timesteps(
        self,
        num_inference_steps: int,
        sampling_eps: float | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        """Set `num_inference_steps` timesteps from 1 to `sampling_eps`; `set_sigmas` comes next."""
        check_count(self, "num_inference_steps", num_inference_steps)
        last = self.config.sampling_eps if sampling_eps is None else sampling_eps
        check_number(self, "sampling_eps", last, _EPS)
        self.timesteps = placed(self, torch.linspace(1, last, num_inference_steps), device)

    def set_sigmas(
        self,
        num_inference_steps: int,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        sampling_eps: float | None = None,
    ) -> None:
        """Set the noise levels: `sigmas` of the timesteps, and `discrete_sigmas`, ascending."""
        check_count(self, "num_inference_steps", num_inference_steps)
        low = self.config.sigma_min if sigma_min is None else sigma_min
        high = self.config.sigma_max if sigma_max is None else sigma_max
        for name, value in (("sigma_min", low), ("sigma_max", high)):
            check_number(self, name, value, SIGMA)
        check_sigma_range(self, low, high)
        self.sigmas = low * (high / low) ** self.timesteps
        scale = torch.linspace(math.log(low), math.log(high), num_inference_steps)
        self.discrete_sigmas = scale.exp().to(self.timesteps.device)

    def get_adjacent_sigma(self, timesteps: Tensor, t: Tensor) -> Tensor:
        """Return the noise levels below those at the positions `timesteps` of `discrete_sigmas`."""
        below = self.discrete_sigmas[(timesteps - 1).clamp(min=0)].to(t.device)
        return torch.where(timesteps.to(t.device) == 0, torch.zeros_like(below), below)

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> SdeVeOutput | tuple[Tensor, ...]:
        """Return what `step_pred` returns."""
        return self.step_pred(model_output, timestep, sample, generator, return_dict)

    def step_pred(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> SdeVeOutput | tuple[Tensor, ...]:
        """Return a sample at the next noise level: a step of the reverse SDE (algorithm 2).

        Args:
            model_output: the score that the network predicts for `sample`; same shape.
            timestep: the timestep of `sample`, from 1 to 0.
            sample: the noisy sample.
            generator: the source of noise.
            return_dict: if False, return the tuple `(prev_sample, prev_sample_mean)`.
        """
        check_timestep(self, timestep)
        check_prediction(self, model_output, sample, learned=False)
        index = (torch.as_tensor(timestep) * (len(self.timesteps) - 1)).long().reshape(1)
        if not 0 <= int(index) < len(self.discrete_sigmas):
            raise SchedulerError(
                f"{type(self).__name__} has timesteps from 0 to 1, not {float(timestep):g}; pass "
                "one of its `timesteps`"
            )
        sigma = self.discrete_sigmas[index.to(self.discrete_sigmas.device)]
        diffusion = broadcast_to(
            (sigma**2 - self.get_adjacent_sigma(index, sigma) ** 2) ** 0.5, sample
        )
        mean = sample + diffusion**2 * model_output
        noise = randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        previous = mean + diffusion * noise
        return SdeVeOutput(previous, mean) if return_dict else (previous, mean)

    def step_correct(
        self,
        model_output: Tensor,
        sample: Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor, ...]:
        """Return `sample` after a step of Langevin dynamics at its noise level (algorithm 4).

        Args:
            model_output: the score that the network predicts for `sample`; same shape.
            sample: the noisy sample.
            generator: the source of noise.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        check_prediction(self, model_output, sample, learned=False)
        noise = randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        lengths = [one.flatten(1).norm(dim=-1).mean() for one in (noise, model_output)]
        size = (self.config.snr * lengths[0] / lengths[1]) ** 2 * 2
        previous = sample + size * model_output + (size * 2) ** 0.5 * noise
        return SchedulerOutput(previous) if return_dict else (previous,)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return samples with noise of the levels at positions `timesteps` of `discrete_sigmas`.

        Raises:
            SchedulerError: if noise or timesteps don't fit the samples.
        """
        check_noise(self, original_samples, noise)
        index = check_timesteps(self, timesteps, len(self.discrete_sigmas))
        levels = self.discrete_sigmas[index.to(self.discrete_sigmas.device)]
        return original_samples + broadcast_to(levels, original_samples) * noise
