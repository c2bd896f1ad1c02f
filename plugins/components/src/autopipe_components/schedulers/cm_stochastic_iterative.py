"""Sampling of consistency models in one step or several (Song et al. 2023, arXiv:2303.01469)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.values import Range

from ..noise import randn_tensor
from .exploding import ExplodingScheduler
from .inputs import custom_schedule, placed
from .options import (
    LIMITS,
    SIGMA,
    check_count,
    check_one_schedule,
    check_sigma_range,
)
from .output import (
    SchedulerOutput as CMStochasticIterativeSchedulerOutput,
)
from .prediction import Real
from .step_index import Timestep, refuse_integer_timestep

__all__ = ["CMStochasticIterativeScheduler", "CMStochasticIterativeSchedulerOutput"]


class CMStochasticIterativeScheduler(ExplodingScheduler):
    """Consistency models (Song et al. 2023, arXiv:2303.01469, algorithm 1).

    Each step jumps to the clean sample, and adds noise of the next level if there is one. The
    timestep is 250 times the logarithm of the noise level.

    Args:
        num_train_timesteps: the number of noise levels of the training.
        sigma_min, sigma_max: the lowest and the highest of them.
        sigma_data: the standard deviation of clean samples.
        s_noise: the standard deviation of the noise that steps add.
        rho: how closely the levels lie together where they are low (Karras et al. 2022,
            arXiv:2206.00364, equation 5).
        clip_denoised: whether clean samples are clipped to [-1, 1].
    """

    has_compatibles: ClassVar[bool] = False
    config_limits: ClassVar[Mapping[str, Range]] = {**LIMITS, "s_noise": SIGMA}

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 40,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        sigma_data: float = 0.5,
        s_noise: float = 1.0,
        rho: float = 7.0,
        clip_denoised: bool = True,
    ) -> None:
        check_sigma_range(self, sigma_min, sigma_max)
        self.custom_timesteps = False
        self._follow(np.arange(num_train_timesteps), None)
        self.num_inference_steps = None

    @property
    def init_noise_sigma(self) -> float:  # type: ignore[override]
        """The standard deviation of the first latents: the highest noise level."""
        return float(self.config.sigma_max)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: Sequence[int] | None = None,
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, or of custom `timesteps`.

        Args:
            device: where `timesteps` are put.
            timesteps: the levels to visit, counted from the highest one, 0; in descending order,
                although the highest level is visited first.
        """
        check_one_schedule(self, num_inference_steps=num_inference_steps, timesteps=timesteps)
        count = self.config.num_train_timesteps
        if num_inference_steps is not None:
            check_count(self, "num_inference_steps", num_inference_steps)
            if num_inference_steps > count:
                raise SchedulerError(
                    f"{type(self).__name__} can't take {num_inference_steps} steps: the network "
                    f"was trained on {count} timesteps"
                )
            levels = np.arange(num_inference_steps) * (count // num_inference_steps)
        else:
            given = custom_schedule(self, "timesteps", timesteps, Range(0, count - 1))
            levels = given[::-1].astype(np.int64)
            if (levels != given[::-1]).any() or (np.diff(levels) <= 0).any():
                raise SchedulerError(
                    f"{type(self).__name__}: timesteps must be whole numbers that descend, from "
                    f"at most {count - 1}"
                )
        self.custom_timesteps = timesteps is not None
        self._follow(levels, device)

    def _follow(self, levels: np.ndarray, device: str | torch.device | None) -> None:
        """Set a schedule of noise levels, by their numbers from the highest one."""
        config = self.config
        ramp = levels / max(config.num_train_timesteps - 1, 1)
        first, last = (sigma ** (1 / config.rho) for sigma in (config.sigma_max, config.sigma_min))
        sigmas = (first + ramp * (last - first)) ** config.rho
        self.sigmas = torch.from_numpy(np.append(sigmas, config.sigma_min).astype(np.float32))
        self.timesteps = placed(self, self.sigma_to_t(sigmas).astype(np.float32), device)
        self.num_inference_steps = len(ramp)
        self._rewind()

    def sigma_to_t(self, sigmas: Any) -> np.ndarray:
        """Return the timesteps of noise levels."""
        timesteps: np.ndarray = 250 * np.log(np.asarray(sigmas, dtype=np.float64))
        return timesteps

    def _data_variance(self) -> float:
        return float(self.config.sigma_data) ** 2

    def get_scalings(self, sigma: Real) -> tuple[Real, Real]:
        """Return the weights of sample and prediction without the boundary condition."""
        data = self.config.sigma_data
        variance = sigma**2 + data**2
        return data**2 / variance, sigma * data / variance**0.5

    def get_scalings_for_boundary_condition(self, sigma: Real) -> tuple[Real, Real]:
        """Return the weights of sample and prediction in the clean sample (appendix C).

        At the lowest noise level the clean sample is the sample.
        """
        data, above = self.config.sigma_data, sigma - self.config.sigma_min
        return (
            data**2 / (above**2 + data**2),
            above * data / (sigma**2 + data**2) ** 0.5,
        )

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> CMStochasticIterativeSchedulerOutput | tuple[Tensor, ...]:
        """Return the clean sample, noised to the next level.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            generator: the source of noise, which is drawn unless there is one step only. The last
                step draws it too, and doesn't use it.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        refuse_integer_timestep(self, timestep)
        self._check_step(model_output, timestep, sample)
        index = self._scaled_index_of(timestep)
        skip, out = self.get_scalings_for_boundary_condition(self._sigma(index))
        previous = out * model_output + skip * sample
        if self.config.clip_denoised:
            previous = previous.clamp(-1, 1)
        if len(self.timesteps) > 1:
            lowest, following = self.config.sigma_min, self._sigma(index + 1)
            shape, device = model_output.shape, model_output.device
            noise = randn_tensor(shape, generator, device, model_output.dtype)
            added = max(following**2 - lowest**2, 0) ** 0.5
            previous = previous + noise * self.config.s_noise * added
        self._step_index = index + 1
        return CMStochasticIterativeSchedulerOutput(previous) if return_dict else (previous,)
