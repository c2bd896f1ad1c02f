"""The base of solvers with the exponential integrator: their schedule over training timesteps."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.values import Range

from .base import DiscreteScheduler
from .exponential import NoiseLevel
from .inputs import check_number, placed
from .integrator import Integrator
from .options import SIGMA_KINDS, check_choice, check_sigma_kind
from .prediction import PREDICTION_TYPES, predicted_noise, predicted_original, scalar
from .sigmas import interpolated, respaced, sigmas_of, timesteps_of
from .spacing import spaced_timesteps, trailing
from .step_index import broadcast_to

WHOLE_KINDS = ("use_karras_sigmas", "use_lu_lambdas")
"""Kinds of sigmas whose timesteps are rounded to whole numbers."""

FINAL_SIGMAS = ("zero", "sigma_min")
"""The noise levels at which a schedule can end: zero, or the lowest of its kind."""


class ExponentialSolver(Integrator, DiscreteScheduler):
    """A solver of the diffusion ODE or SDE that integrates a polynomial through predictions.

    `sigmas` are the noise levels of all timesteps and of the end, in the variance-exploding view
    or that of a flow, float32 on the CPU. Samples are in the variance-preserving view.
    """

    prediction_types = (*PREDICTION_TYPES, "flow_prediction")
    time_shift_types: ClassVar[Sequence[str]] = ("exponential",)
    finite_sigmas = True

    _descending: ClassVar[bool] = True
    """Whether the noise levels of a schedule descend, from noise to the sample."""

    def _build(self, *, orders: Collection[int] | None = None, clean: bool = True) -> None:
        """Set the noise schedule from the config, and check the options that all solvers have.

        `orders` are the possible orders of the solver; any by default. `clean`: see `_clean`.
        """
        self._build_betas()
        config = self.config
        check_sigma_kind(self, config)
        if orders is not None:
            check_choice(self, "solver_order", config.solver_order, orders)
        if "time_shift_type" in config:
            check_choice(self, "time_shift_type", config.time_shift_type, self.time_shift_types)
        if config.prediction_type == "flow_prediction" and not config.use_flow_sigmas:
            raise SchedulerError(
                f"{type(self).__name__} got prediction_type='flow_prediction' with the noise "
                "levels of a diffusion model; set use_flow_sigmas=True as well"
            )
        self.sigmas = torch.from_numpy(np.append(self._train_sigmas()[::-1], np.float32(0)))
        self.model_outputs = []
        self._clean = clean

    def _train_sigmas(self) -> np.ndarray:
        """Return the noise levels of all training timesteps, ascending, float32."""
        return sigmas_of(self.alphas_cumprod)

    def _visited(
        self, count: int, spacing: str, steps_offset: int = 0, end: int | None = None
    ) -> np.ndarray:
        """Return `count` timesteps below `end`, spaced with one more step to the clean sample."""
        self._check_steps(count)
        total = self.config.num_train_timesteps
        end = total if end is None else end
        if spacing == "trailing":
            return trailing(count, end, total)
        return spaced_timesteps(spacing, count + 1, end, steps_offset)[:-1]

    def _noise_levels(
        self, timesteps: np.ndarray, *, mu: float | None = None, rounded: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sigmas at `timesteps`, and the timesteps, both respaced if the config says so.

        With `rounded`, the timesteps of `WHOLE_KINDS` are rounded; others are truncated.
        """
        train, known = self._train_sigmas(), self._declared
        sigmas = respaced(known, train[::-1], len(timesteps))
        if sigmas is not None:
            moved, whole = timesteps_of(sigmas, train), any(known.get(k) for k in WHOLE_KINDS)
            return sigmas, moved.round() if rounded and whole else moved
        if self.config.use_flow_sigmas:
            return self._flow(len(timesteps), self._flow_shift(mu))
        return interpolated(timesteps, train), timesteps

    @property
    def _respaces(self) -> bool:
        """Whether the config sets a kind of sigmas."""
        return any(self.config.get(kind) for kind in SIGMA_KINDS)

    def _final_sigma(self, lowest: float) -> float:
        """Return the noise level at which the schedule ends; `lowest` is that for `sigma_min`."""
        return 0.0 if self.config.final_sigmas_type == "zero" else float(lowest)

    def _lowest_sigma(self, sigmas: np.ndarray) -> float:
        """Return the lowest noise level: that of the last timestep, or the lowest in training."""
        own = self._respaces or self.config.use_flow_sigmas
        return float(sigmas[-1] if own else self._train_sigmas()[0])

    def _flow(self, count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
        """Return `count` sigmas of a flow without the final zero, and their timesteps."""
        total = self.config.num_train_timesteps
        sigmas = shifted(1 - np.linspace(1, 1 / total, count + 1)[:0:-1], shift)
        return sigmas, sigmas * total

    def _flow_shift(self, mu: float | None) -> float:
        """Return the shift of flow sigmas towards noise: that of the config, or `mu`."""
        config = self.config
        if mu is None:
            return float(config.flow_shift)
        check_number(self, "mu", mu, Range(-100, 100))
        if not config.use_dynamic_shifting:
            raise SchedulerError(
                f"{type(self).__name__}.set_timesteps got mu={mu}, which shifts the schedule only "
                "with use_dynamic_shifting=True"
            )
        return math.exp(mu) if config.time_shift_type == "exponential" else mu

    def _follow(
        self,
        timesteps: np.ndarray,
        sigmas: np.ndarray,
        last_sigma: float,
        device: str | torch.device | None,
    ) -> None:
        """Set a new schedule that ends at `last_sigma`, and forget the previous one.

        Raises:
            SchedulerError: if a noise level is higher than the one before it.
        """
        levels = np.append(sigmas, last_sigma).astype(np.float32)
        if self._descending and (np.diff(levels[:-1]) > 0).any():
            raise SchedulerError(
                f"{type(self).__name__} needs descending noise levels, not {levels.tolist()}; give "
                f"timesteps or sigmas in descending order"
            )
        self.sigmas = torch.from_numpy(levels)
        self.timesteps = placed(self, timesteps.astype(np.int64), device)
        self.num_inference_steps = len(timesteps)
        self.model_outputs = []
        self._rewind()

    def _level(self, index: int) -> NoiseLevel:
        """Return the weights of clean sample and noise at an index of the schedule."""
        sigma = scalar(self.sigmas[index])
        if self.config.use_flow_sigmas:
            return NoiseLevel(1 - sigma, sigma)
        alpha = 1 / (sigma**2 + 1) ** 0.5
        return NoiseLevel(alpha, sigma * alpha)

    def _weights(self, sample: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = torch.tensor([self._level(i) for i in self._noise_indices(timesteps)]).T
        return broadcast_to(alpha, sample), broadcast_to(sigma, sample)

    def convert_model_output(self, model_output: Tensor, *, sample: Tensor) -> Tensor:
        """Return the clean sample or the noise that the output of the network represents."""
        self._check_prediction(model_output, sample)
        kind, output, level = self.config.prediction_type, model_output, self._level(self._place)
        if self.config.thresholding:
            output = self._thresholded(predicted_original(kind, output, sample, *level))
            kind = "sample"
        convert = predicted_original if self._clean else predicted_noise
        return convert(kind, output, sample, *level)


def shifted(sigmas: np.ndarray, shift: float) -> np.ndarray:
    """Shift the sigmas of a flow in [0, 1], to noise for shift > 1 (arXiv:2403.03206, eq. 23)."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)
