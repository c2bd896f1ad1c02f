"""The two views of a diffusion process that schedulers are built on.

Symbols, for training timestep t: beta_t is the variance that t adds, alpha_t = 1 - beta_t, and
alpha_bar_t = `alphas_cumprod[t]` is their running product. A noised sample is
x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) noise (variance-preserving view), or, divided by
sqrt(alpha_bar_t), x0 + sigma_t noise (variance-exploding view).

Tensors that a scheduler holds are replaced, never written into: copies share them.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from autopipe.config import FrozenConfig
from autopipe.errors import SchedulerError
from autopipe.scheduling import SchedulerMixin

from .betas import (
    BETA_SCHEDULES,
    LAST_ALPHA_BAR,
    rescale_zero_terminal_snr,
    trained,
)
from .options import SIGMA_KINDS, check_choice, check_count, check_sigma_kind
from .prediction import PREDICTION_TYPES, Real, scalar
from .sigmas import interpolated, respaced, sigmas_of, timesteps_of
from .spacing import SPACINGS, spaced_timesteps
from .step_index import StepIndexMixin, Timestep, broadcast_to
from .thresholding import threshold

_Self = TypeVar("_Self", bound="DiscreteScheduler")


class DiscreteScheduler(SchedulerMixin):
    """A scheduler of a process that was trained on `num_train_timesteps` discrete timesteps.

    Subclasses decorate `__init__` with `register_to_config` and call `_build_betas` first. What is
    here works in the variance-preserving view.
    """

    prediction_types: ClassVar[Sequence[str]] = PREDICTION_TYPES
    finite_sigmas: ClassVar[bool] = False
    """Whether the last alpha_bar of a zero-SNR schedule is kept off zero."""

    betas: Tensor
    alphas: Tensor
    alphas_cumprod: Tensor
    final_alpha_cumprod: Tensor
    """alpha_bar of the clean sample, beyond the first timestep."""
    num_inference_steps: int | None = None

    def _build_betas(self) -> None:
        """Set `betas`, `alphas` and `alphas_cumprod` from the config.

        Raises:
            SchedulerError: the config holds a value that no step could work with.
        """
        config = self.config
        check_count(self, "num_train_timesteps", config.num_train_timesteps)
        check_choice(self, "prediction_type", config.prediction_type, self.prediction_types)
        check_choice(self, "timestep_spacing", config.get("timestep_spacing", "linspace"), SPACINGS)
        if config.trained_betas is not None:
            self.betas = trained(config.trained_betas)
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
        """Set what follows from `betas`; the sample beyond the first timestep is clean."""
        self.alphas = 1.0 - self.betas
        self.alphas_cumprod = torch.cumprod(self.alphas, dim=0)
        self.final_alpha_cumprod = torch.tensor(1.0)
        self.timesteps = torch.arange(self.config.num_train_timesteps - 1, -1, -1)

    def copy(self: _Self) -> _Self:
        """An independent scheduler with the same config and the state of this one. Cheap."""
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (list, FrozenConfig)):
                vars(twin)[name] = copy.copy(value)
        return twin

    def scale_model_input(self, sample: Tensor, timestep: Timestep | None = None) -> Tensor:
        """`sample` as the network wants it: unchanged, in the variance-preserving view."""
        return sample

    def _check_steps(self, count: int) -> None:
        """Raise `SchedulerError` unless `count` steps have timesteps to go through."""
        check_count(self, "num_inference_steps", count)
        if count > self.config.num_train_timesteps:
            raise SchedulerError(
                f"{type(self).__name__} can't take {count} steps: the network was "
                f"trained on {self.config.num_train_timesteps} timesteps"
            )

    def _spaced(self, num_inference_steps: int) -> np.ndarray:
        """The int64 timesteps of `num_inference_steps` steps.

        Raises:
            SchedulerError: there are more steps than training timesteps.
        """
        self._check_steps(num_inference_steps)
        config = self.config
        return spaced_timesteps(
            config.timestep_spacing,
            num_inference_steps,
            config.num_train_timesteps,
            config.steps_offset,
        )

    def _steps(self) -> int:
        """`num_inference_steps`, or a `SchedulerError` where there is no schedule yet."""
        if self.num_inference_steps is None:
            raise SchedulerError(
                f"{type(self).__name__}.step needs set_timesteps to be called first"
            )
        return self.num_inference_steps

    def _alpha_bar(self, timestep: Timestep) -> Real:
        """alpha_bar at `timestep`; that of the clean sample before the first timestep."""
        index = int(timestep)
        bar = self.alphas_cumprod[index] if index >= 0 else self.final_alpha_cumprod
        return scalar(bar)

    @property
    def _declared(self) -> dict[str, Any]:
        """The config less what other classes left in it, save for their limits of sigmas."""
        ours = {*self.init_parameters(), "sigma_min", "sigma_max"}
        return {key: value for key, value in self.config.items() if key in ours}

    def _thresholded(self, sample: Tensor) -> Tensor:
        """`sample` after dynamic thresholding, as the config has it."""
        config = self.config
        return threshold(sample, config.dynamic_thresholding_ratio, config.sample_max_value)

    def _bounded(self, sample: Tensor) -> Tensor:
        """A predicted clean sample, thresholded or clipped if the config says so."""
        config = self.config
        if config.thresholding:
            return self._thresholded(sample)
        if config.clip_sample:
            return sample.clamp(-config.clip_sample_range, config.clip_sample_range)
        return sample

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """`original_samples` noised to `timesteps` (int, shape (B,))."""
        alpha, sigma = self._weights(original_samples, timesteps)
        return alpha * original_samples + sigma * noise

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The target of v-prediction for `sample`s noised to `timesteps` (int, shape (B,))."""
        alpha, sigma = self._weights(sample, timesteps)
        return alpha * noise - sigma * sample

    def _weights(self, sample: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of clean sample and noise at `timesteps`, ready to multiply `sample`."""
        bar = self.alphas_cumprod.to(sample.dtype)[timesteps.to(self.alphas_cumprod.device)]
        return broadcast_to(bar**0.5, sample), broadcast_to((1 - bar) ** 0.5, sample)


class SigmaScheduler(StepIndexMixin, DiscreteScheduler):
    """A scheduler that steps along `sigmas`, in the variance-exploding view.

    `sigmas` are float32 on the CPU wherever the samples are, and end with the final noise level.
    """

    finite_sigmas = True
    sigmas: Tensor
    is_scale_input_called: bool = False

    def _build_betas(self) -> None:
        super()._build_betas()
        check_sigma_kind(self, self.config)
        self.sigmas = torch.from_numpy(np.append(self._train_sigmas()[::-1], np.float32(0)))
        self.timesteps = self.timesteps.float()

    def _train_sigmas(self) -> np.ndarray:
        """The noise level of every training timestep, ascending, float32."""
        return sigmas_of(self.alphas_cumprod)

    @property
    def init_noise_sigma(self) -> Tensor:  # type: ignore[override]
        """The standard deviation of the first latents.

        A schedule that starts at the last training timestep starts from pure noise; one with
        leading spacing starts lower, where the sample still has unit variance of its own.
        """
        highest = self.sigmas.max()
        if self.config.timestep_spacing in ("linspace", "trailing"):
            return highest
        return (highest**2 + 1) ** 0.5

    def _spaced_float(self, count: int, train_steps: int | None = None) -> np.ndarray:
        """`count` descending float32 timesteps, spaced as the config says."""
        config = self.config
        check_count(self, "num_inference_steps", count)
        return spaced_timesteps(
            config.timestep_spacing,
            count,
            train_steps or config.num_train_timesteps,
            config.steps_offset,
            dtype=np.float32,
        )

    def _noise_levels(
        self, timesteps: np.ndarray, sigmas: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sigmas at `timesteps`, and the timesteps, both moved if the config respaces them.

        `sigmas` are those at `timesteps`; by default interpolated between training timesteps.
        """
        train_sigmas = self._train_sigmas()
        if sigmas is None:
            sigmas = interpolated(timesteps, train_sigmas)
        moved = respaced(self._declared, sigmas, len(timesteps))
        if moved is None:
            return sigmas, timesteps
        return moved, timesteps_of(moved, train_sigmas)

    def _follow(self, timesteps: np.ndarray, device: str | torch.device | None) -> None:
        """Make the noise levels at `timesteps`, and a final zero, the schedule."""
        sigmas, timesteps = self._noise_levels(timesteps)
        self.sigmas = torch.from_numpy(np.append(sigmas, 0).astype(np.float32))
        self.timesteps = torch.from_numpy(timesteps.astype(np.float32)).to(device)
        self.num_inference_steps = len(timesteps)
        self._rewind()

    def _refuse_respaced(self, timesteps: Any) -> None:
        """Raise `SchedulerError` if custom `timesteps` meet a config that computes its own."""
        asked = [kind for kind in SIGMA_KINDS if self.config.get(kind)]
        if timesteps is not None and asked:
            raise SchedulerError(
                f"{type(self).__name__} can't follow custom timesteps with {asked[0]}=True, which "
                "computes its own; make it from_config with that turned off"
            )

    def scale_model_input(self, sample: Tensor, timestep: Timestep) -> Tensor:  # type: ignore[override]
        """`sample` in the variance-preserving view: divided by sqrt(sigma^2 + 1)."""
        return self._scaled(sample, self._sigma(self._index_of(timestep)))

    def _scaled(self, sample: Tensor, sigma: Real) -> Tensor:
        self.is_scale_input_called = True
        return sample / (sigma**2 + 1) ** 0.5

    def _sigma(self, index: int) -> Real:
        """The noise level at `index` of the schedule."""
        return scalar(self.sigmas[index])

    def _scaled_index_of(self, timestep: Timestep) -> int:
        """The step index, with a warning if the network saw a sample that was never scaled."""
        if not self.is_scale_input_called:
            warnings.warn(
                f"{type(self).__name__}.step was called before scale_model_input; the network's "
                "input has to go through it",
                stacklevel=3,
            )
            self.is_scale_input_called = True
        return self._index_of(timestep)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """`original_samples` noised to `timesteps`, (B,), or to the position in the schedule."""
        sigmas = self.sigmas[self._noise_indices(timesteps)]
        return original_samples + noise * broadcast_to(sigmas, original_samples)
