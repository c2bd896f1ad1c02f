"""The base of all schedulers, in the variance-preserving view of a diffusion process.

Symbols, for training timestep t: beta_t is the variance that t adds, alpha_t = 1 - beta_t, and
alpha_bar_t = `alphas_cumprod[t]` is their running product. A noised sample is
x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) noise (variance-preserving view), or, divided by
sqrt(alpha_bar_t), x0 + sigma_t noise (variance-exploding view).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError

from .betas import (
    BETA_SCHEDULES,
    LAST_ALPHA_BAR,
    rescale_zero_terminal_snr,
    trained,
)
from .checked import CheckedScheduler
from .inputs import check_noise, check_timestep, check_timesteps
from .options import check_choice, check_count
from .prediction import PREDICTION_TYPES, Real, scalar
from .spacing import SPACINGS, spaced_timesteps
from .step_index import Timestep, broadcast_to


class DiscreteScheduler(CheckedScheduler):
    """A scheduler for networks that were trained on `num_train_timesteps` discrete timesteps.

    Subclasses decorate `__init__` with `register_to_config` and call `_build_betas` first. The
    methods here work in the variance-preserving view.
    """

    prediction_types: ClassVar[Sequence[str]] = PREDICTION_TYPES
    finite_sigmas: ClassVar[bool] = False
    """Whether the last alpha_bar of a zero-SNR schedule is kept above zero."""

    betas: Tensor
    alphas: Tensor
    alphas_cumprod: Tensor
    final_alpha_cumprod: Tensor
    """alpha_bar of the clean sample, beyond the first timestep."""

    def _build_betas(self) -> None:
        """Set `betas`, `alphas` and `alphas_cumprod` from the config.

        Raises:
            SchedulerError: if the config has a value that makes steps impossible.
        """
        config = self.config
        check_choice(self, "prediction_type", config.prediction_type, self.prediction_types)
        check_choice(self, "timestep_spacing", config.get("timestep_spacing", "linspace"), SPACINGS)
        if config.trained_betas is not None:
            self.betas = trained(self, config.trained_betas)
        else:
            check_choice(self, "beta_schedule", config.beta_schedule, BETA_SCHEDULES)
            make = BETA_SCHEDULES[config.beta_schedule]
            self.betas = make(config.num_train_timesteps, config.beta_start, config.beta_end)
        zero_snr = config.get("rescale_betas_zero_snr")
        if zero_snr:
            self.betas = rescale_zero_terminal_snr(self.betas)
        self._follow_betas()
        if zero_snr and self.finite_sigmas:
            self.alphas_cumprod[-1] = LAST_ALPHA_BAR
        to_one = config.get("set_alpha_to_one", True)
        self.final_alpha_cumprod = torch.tensor(1.0) if to_one else self.alphas_cumprod[0]

    def _follow_betas(self) -> None:
        """Set what follows from `betas`; below the first timestep the sample is clean."""
        self.alphas = 1.0 - self.betas
        self.alphas_cumprod = torch.cumprod(self.alphas, dim=0)
        self.final_alpha_cumprod = torch.tensor(1.0)
        self.timesteps = torch.arange(self.config.num_train_timesteps - 1, -1, -1)

    def _check_steps(self, count: int) -> None:
        """Raise `SchedulerError` if there are fewer training timesteps than `count`."""
        check_count(self, "num_inference_steps", count)
        if count > self.config.num_train_timesteps:
            raise SchedulerError(
                f"{type(self).__name__} can't take {count} steps: the network was "
                f"trained on {self.config.num_train_timesteps} timesteps"
            )

    def _spaced(self, num_inference_steps: int) -> np.ndarray:
        """Return the timesteps of `num_inference_steps` steps, as int64.

        Raises:
            SchedulerError: if there are more steps than training timesteps.
        """
        self._check_steps(num_inference_steps)
        config = self.config
        spaced = spaced_timesteps(
            config.timestep_spacing,
            num_inference_steps,
            config.num_train_timesteps,
            config.steps_offset,
        )
        if spaced[0] >= len(self.alphas_cumprod):
            raise SchedulerError(
                f"{type(self).__name__} would start at timestep {spaced[0]} with steps_offset="
                f"{config.steps_offset}, but the last one is {len(self.alphas_cumprod) - 1}; use "
                f"a smaller offset, fewer steps or another timestep_spacing"
            )
        return spaced

    def _whole(self, timestep: Timestep) -> int:
        """Return `timestep` as a whole number.

        Raises:
            SchedulerError: if the network was not trained on it.
        """
        check_timestep(self, timestep)
        try:
            index = int(timestep)
        except (ValueError, OverflowError):
            index = -1
        if not 0 <= index < len(self.alphas_cumprod):
            raise SchedulerError(
                f"{type(self).__name__} has the timesteps 0 to {len(self.alphas_cumprod) - 1}, not "
                f"{float(timestep):g}; pass one of its `timesteps`"
            )
        return index

    def _alpha_bar(self, timestep: Timestep) -> Real:
        """Return alpha_bar at `timestep`; below the first timestep, that of the clean sample."""
        index = int(timestep)
        bar = self.alphas_cumprod[index] if index >= 0 else self.final_alpha_cumprod
        return scalar(bar)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return `original_samples` noised to `timesteps` (int, shape (B,)).

        Raises:
            SchedulerError: if noise or timesteps don't fit the samples, or if a timestep doesn't
                exist.
        """
        check_noise(self, original_samples, noise)
        alpha, sigma = self._weights(original_samples, timesteps)
        return alpha * original_samples + sigma * noise

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the target of v-prediction for samples noised to `timesteps` (int, shape (B,))."""
        check_noise(self, sample, noise)
        alpha, sigma = self._weights(sample, timesteps)
        return alpha * noise - sigma * sample

    def _weights(self, sample: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of clean sample and noise at `timesteps`, to multiply `sample`."""
        index = check_timesteps(self, timesteps, len(self.alphas_cumprod))
        bar = self.alphas_cumprod.to(sample.dtype)[index]
        return broadcast_to(bar**0.5, sample), broadcast_to((1 - bar) ** 0.5, sample)
