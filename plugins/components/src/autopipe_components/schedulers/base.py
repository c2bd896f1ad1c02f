"""The base of all schedulers, in the variance-preserving view of a diffusion process.

Symbols, for training timestep t: beta_t is the variance that t adds, alpha_t = 1 - beta_t, and
alpha_bar_t = `alphas_cumprod[t]` is their running product. A noised sample is
x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) noise (variance-preserving view), or, divided by
sqrt(alpha_bar_t), x0 + sigma_t noise (variance-exploding view).

Copies of a scheduler share its tensors, so these are replaced and never changed in place.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from autopipe.config import FrozenConfig
from autopipe.errors import SchedulerError
from autopipe.scheduling import SchedulerMixin
from autopipe.wording import shown

from .betas import (
    BETA_SCHEDULES,
    LAST_ALPHA_BAR,
    rescale_zero_terminal_snr,
    trained,
)
from .inputs import check_noise, check_prediction, check_timestep, timesteps_tensor
from .options import (
    LEARNED_VARIANCES,
    LIMITS,
    check_choice,
    check_count,
)
from .prediction import PREDICTION_TYPES, Real, scalar
from .spacing import SPACINGS, spaced_timesteps
from .step_index import Timestep, broadcast_to
from .thresholding import threshold

_Self = TypeVar("_Self", bound="DiscreteScheduler")


class DiscreteScheduler(SchedulerMixin):
    """A scheduler for networks that were trained on `num_train_timesteps` discrete timesteps.

    Subclasses decorate `__init__` with `register_to_config` and call `_build_betas` first. The
    methods here work in the variance-preserving view.
    """

    prediction_types: ClassVar[Sequence[str]] = PREDICTION_TYPES
    config_limits = LIMITS
    finite_sigmas: ClassVar[bool] = False
    """Whether the last alpha_bar of a zero-SNR schedule is kept above zero."""

    betas: Tensor
    alphas: Tensor
    alphas_cumprod: Tensor
    final_alpha_cumprod: Tensor
    """alpha_bar of the clean sample, beyond the first timestep."""
    num_inference_steps: int | None = None

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

    @classmethod
    def check_config(cls, config: Mapping[str, Any]) -> None:
        """Check a changed config as the constructor does."""
        cls(**{name: config[name] for name in cls.init_parameters() if name in config})

    def copy(self: _Self) -> _Self:
        """Return an independent copy with the same config and state; it takes almost no memory."""
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (list, FrozenConfig)):
                vars(twin)[name] = copy.copy(value)
        return twin

    def scale_model_input(self, sample: Tensor, timestep: Timestep | None = None) -> Tensor:
        """Return the input of the network: `sample`, unchanged in the variance-preserving view."""
        return sample

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

    def _steps(self) -> int:
        """Return the number of inference steps; raise `SchedulerError` before `set_timesteps`."""
        if self.num_inference_steps is None:
            raise SchedulerError(
                f"{type(self).__name__}.step needs set_timesteps to be called first"
            )
        return self.num_inference_steps

    def _check_step(self, model_output: Tensor, timestep: Timestep, sample: Tensor) -> None:
        """Raise `SchedulerError` if the arguments of `step` don't fit together."""
        check_timestep(self, timestep)
        self._check_prediction(model_output, sample)

    def _check_prediction(self, model_output: Tensor, sample: Tensor) -> None:
        learned = (
            "variance_type" in self.init_parameters()
            and self.config.variance_type in LEARNED_VARIANCES
        )
        check_prediction(self, model_output, sample, learned=learned)

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

    @property
    def _declared(self) -> dict[str, Any]:
        """The config without entries of other classes, except for limits of sigmas."""
        ours = {*self.init_parameters(), "sigma_min", "sigma_max"}
        return {key: value for key, value in self.config.items() if key in ours}

    def _thresholded(self, sample: Tensor) -> Tensor:
        """Return `sample` after dynamic thresholding with the options of the config."""
        config = self.config
        return threshold(sample, config.dynamic_thresholding_ratio, config.sample_max_value)

    def _bounded(self, sample: Tensor) -> Tensor:
        """Return a predicted clean sample, thresholded or clipped according to the config."""
        config = self.config
        if config.thresholding:
            return self._thresholded(sample)
        if config.clip_sample:
            return sample.clamp(-config.clip_sample_range, config.clip_sample_range)
        return sample

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
        index, count = timesteps_tensor(self, timesteps), len(self.alphas_cumprod)
        if index.is_floating_point() or int(index.min()) < 0 or int(index.max()) >= count:
            raise SchedulerError(
                f"{type(self).__name__} has the timesteps 0 to {count - 1}, as whole numbers, not "
                f"{shown(index.tolist())}"
            )
        bar = self.alphas_cumprod.to(sample.dtype)[index.long()]
        return broadcast_to(bar**0.5, sample), broadcast_to((1 - bar) ** 0.5, sample)
