"""The base of EDM's schedulers: noise levels and preconditioning."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.wording import shown

from ..dpm_multistep import MultistepDPM
from ..exploding import ExplodingScheduler
from ..exponential import NoiseLevel
from ..inputs import check_number, placed
from ..options import SIGMA, check_choice, check_count, check_sigma_range
from ..prediction import Real
from ..solver_base import FINAL_SIGMAS
from ..step_index import Timestep


class EDMScheduler(ExplodingScheduler):
    """A scheduler whose network is preconditioned for data of the deviation `sigma_data`.

    The clean sample is c_skip(sigma) * sample + c_out(sigma) * output, where the output is for a
    sample times c_in(sigma) (arXiv:2206.00364, table 1). A v-prediction has the opposite sign.
    """

    config_kind = "edm"

    def _build_levels(self, count: int) -> None:
        """Check the options that all have, and set the levels of training, `count` of them."""
        config = self.config
        check_choice(self, "prediction_type", config.prediction_type, ("epsilon", "v_prediction"))
        check_choice(self, "sigma_schedule", config.sigma_schedule, ("karras", "exponential"))
        check_choice(self, "final_sigmas_type", config.final_sigmas_type, FINAL_SIGMAS)
        check_sigma_range(self, config.sigma_min, config.sigma_max)
        self._follow(self._ramp(count), None)
        self.num_inference_steps = None

    def _ramp(self, count: Any) -> Tensor:
        """Return the places of `count` steps, from 0 for the highest level to 1 for the lowest."""
        check_count(self, "num_inference_steps", count)
        return torch.linspace(0, 1, count)

    def _follow(self, ramp: Tensor, device: str | torch.device | None) -> None:
        """Set a schedule of the levels at `ramp`; an exponential one uses its length only.

        They are rounded as in the reference, since the noise of a Brownian path depends on every
        bit of them.
        """
        config = self.config
        highest, lowest = config.sigma_max, config.sigma_min
        if config.sigma_schedule == "karras":
            first, last = (level ** (1 / config.rho) for level in (highest, lowest))
            levels = ((first + ramp * (last - first)) ** config.rho).float()
        else:
            ends = math.log(lowest), math.log(highest)
            levels = torch.linspace(*ends, len(ramp)).exp().flip(0)
        final = torch.zeros(1) if config.final_sigmas_type == "zero" else levels[-1:]
        self.sigmas = torch.cat([levels, final])
        self.timesteps = placed(self, self._told(levels), device)
        self.num_inference_steps = len(ramp)
        self._rewind()

    @property
    def init_noise_sigma(self) -> float:  # type: ignore[override]
        """The standard deviation of the first latents."""
        return float((self.config.sigma_max**2 + 1) ** 0.5)

    def _data_variance(self) -> float:
        return float(self.config.sigma_data) ** 2

    def precondition_inputs(self, sample: Tensor, sigma: Real) -> Tensor:
        """Return `sample` as the network takes it.

        Args:
            sample: a noisy sample.
            sigma: its noise level: a number, or a tensor that multiplies `sample`.
        """
        self._check_prediction(sample, sample)
        return self._scaled(sample, self._checked_level(sigma, sample))

    def precondition_noise(self, sigma: Real) -> Tensor:
        """Return the timestep at the noise level `sigma`, a number or a tensor of them."""
        level = self._checked_level(sigma)
        return self._told(level if isinstance(level, Tensor) else torch.tensor([level]))

    def _told(self, levels: Tensor) -> Tensor:
        """Return what the network is told of noise levels: log(sigma) / 4."""
        return 0.25 * levels.log()

    def precondition_outputs(self, sample: Tensor, model_output: Tensor, sigma: Real) -> Tensor:
        """Return the clean sample that the output of the network for `sample` represents.

        Args:
            sample: a noisy sample.
            model_output: the output; same shape.
            sigma: the noise level: a number, or a tensor that multiplies `sample`.
        """
        self._check_prediction(model_output, sample)
        sigma = self._checked_level(sigma, sample)
        data = self.config.sigma_data
        variance = sigma**2 + data**2
        output = sigma * data / variance**0.5
        sign = 1 if self.config.prediction_type == "epsilon" else -1
        clean: Tensor = data**2 / variance * sample + sign * output * model_output
        return clean

    def _checked_level(self, sigma: Any, sample: Tensor | None = None) -> Any:
        """Return `sigma`.

        Raises:
            SchedulerError: if it is neither a number nor a tensor that can multiply `sample`.
        """
        if isinstance(sigma, np.generic):
            return sigma
        if not isinstance(sigma, Tensor):
            return check_number(self, "sigma", sigma, SIGMA)
        fits = sigma.is_floating_point() and sigma.layout is torch.strided
        if fits and sample is not None and sigma.ndim:
            last = zip(reversed(sigma.shape), reversed(sample.shape))
            fits = sigma.ndim <= sample.ndim and all(one in (1, side) for one, side in last)
            fits = fits and sigma.device == sample.device
        if not fits:
            raise SchedulerError(
                f"{type(self).__name__} takes as sigma a number or a tensor of floats that "
                f"multiplies the sample, not {shown(sigma)}"
            )
        return sigma

    def scale_model_input(self, sample: Tensor, timestep: Timestep) -> Tensor:  # type: ignore[override]
        """Return `sample` as the network takes it: divided by sqrt(sigma^2 + sigma_data^2)."""
        return self._scaled(sample, self._sigma(self._index_of(timestep)))


class EDMSolver(MultistepDPM, EDMScheduler):
    """Multistep DPM-Solver++ on EDM's noise levels, where the weight of the sample is 1."""

    def _build_solver(self, orders: Collection[int]) -> None:
        """Check the options that all have; `orders` are the possible orders of the solver."""
        check_choice(self, "solver_order", self.config.solver_order, orders)
        others = ("logrho", "bh1", "bh2")
        self._choose("solver_type", ("midpoint", "heun"), dict.fromkeys(others, "midpoint"))
        self._build_levels(self.config.num_train_timesteps)

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        self._follow(self._ramp(num_inference_steps), device)

    def _follow(self, ramp: Tensor, device: str | torch.device | None) -> None:
        super()._follow(ramp, device)
        self.model_outputs = []

    def _level(self, index: int) -> NoiseLevel:
        return NoiseLevel(np.float32(1), self._sigma(index))

    def convert_model_output(self, model_output: Tensor, *, sample: Tensor) -> Tensor:
        """Return the clean sample that the output of the network represents."""
        self._check_prediction(model_output, sample)
        sigma = self._sigma(self._place)
        return self._bounded(self.precondition_outputs(sample, model_output, sigma))
