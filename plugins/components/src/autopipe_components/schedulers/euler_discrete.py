"""Euler's method (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without its second order)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError

from ..noise import randn_tensor
from .base import SigmaScheduler
from .options import check_choice, check_one_schedule
from .output import DenoisingOutput as EulerDiscreteSchedulerOutput
from .prediction import PREDICTION_TYPES, original_of_sigma
from .sigmas import timesteps_of
from .step_index import broadcast_to, refuse_integer_timestep

__all__ = ["EulerDiscreteScheduler", "EulerDiscreteSchedulerOutput"]

MAX_CHURN = math.sqrt(2) - 1
"""The most that one step may raise its noise level, as a fraction of it."""


class EulerDiscreteScheduler(SigmaScheduler):
    """Follows the tangent of the ODE dx/dsigma = (x - x0) / sigma from one sigma to the next."""

    prediction_types = (*PREDICTION_TYPES, "original_sample")

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        prediction_type: str = "epsilon",
        interpolation_type: str = "linear",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        timestep_spacing: str = "linspace",
        timestep_type: str = "discrete",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        final_sigmas_type: str = "zero",
    ) -> None:
        self._build_betas()
        check_choice(self, "interpolation_type", interpolation_type, ("linear", "log_linear"))
        check_choice(self, "timestep_type", timestep_type, ("discrete", "continuous"))
        check_choice(self, "final_sigmas_type", final_sigmas_type, ("zero", "sigma_min"))
        if self._is_continuous():
            self.timesteps = 0.25 * self.sigmas[:-1].log()

    def _is_continuous(self) -> bool:
        """Whether the network takes log(sigma) / 4 as its timestep (EDM's v-prediction)."""
        config = self.config
        return config.timestep_type == "continuous" and config.prediction_type == "v_prediction"

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
    ) -> None:
        """Lay out a schedule; `timesteps` go to `device`.

        Args:
            num_inference_steps: how many steps, spaced as the config says.
            device: of `timesteps`; `sigmas` stay on the CPU.
            timesteps: descending custom timesteps, in place of a number.
            sigmas: descending custom noise levels, the last one (0, as a rule) included.

        Raises:
            SchedulerError: not exactly one of the three is given, or custom `timesteps` where
                the config computes its own.
        """
        check_one_schedule(
            self, num_inference_steps=num_inference_steps, timesteps=timesteps, sigmas=sigmas
        )
        if sigmas is not None:
            levels = np.array(sigmas, dtype=np.float32)
            schedule = timesteps_of(levels[:-1], self._train_sigmas())
        else:
            schedule, levels = self._schedule(num_inference_steps, timesteps)
        self.num_inference_steps = len(schedule)
        self.sigmas = torch.from_numpy(levels.astype(np.float32))
        if self._is_continuous():
            self.timesteps = (0.25 * self.sigmas[:-1].log()).to(device)
        else:
            self.timesteps = torch.from_numpy(schedule.astype(np.float32)).to(device)
        self._rewind()

    def _schedule(
        self, count: int | None, timesteps: list[int] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Timesteps, and the sigmas at them with the final one."""
        self._refuse_respaced(timesteps)
        if timesteps is None:
            assert count is not None
            spaced = self._spaced_float(count)
        elif self._is_continuous():
            raise SchedulerError(
                "custom timesteps mean nothing to a network that takes log(sigma) / 4; pass sigmas"
            )
        else:
            spaced = np.array(timesteps, dtype=np.float32)
        train = self._train_sigmas()
        between = None
        if self.config.interpolation_type == "log_linear":
            between = np.geomspace(train[-1], train[0], len(spaced) + 1)
        levels, schedule = self._noise_levels(spaced, between)
        final = train[0] if self.config.final_sigmas_type == "sigma_min" else 0.0
        return schedule, np.append(levels, final)

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> EulerDiscreteSchedulerOutput | tuple[Tensor, ...]:
        """The sample at the next noise level.

        Args:
            model_output: what the network predicts for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample; the step is taken in float32.
            s_churn, s_tmin, s_tmax, s_noise: how much noise is added before the step, between
                which noise levels, and its scale (algorithm 2); none by default.
            generator: where that noise comes from.
            return_dict: False gives the tuple `(prev_sample, pred_original_sample)`.
        """
        refuse_integer_timestep(self, timestep)
        index = self._scaled_index_of(timestep)
        sigma, following = self._sigma(index), self._sigma(index + 1)
        sample = sample.float()
        churn = min(s_churn / (len(self.sigmas) - 1), MAX_CHURN) if s_tmin <= sigma <= s_tmax else 0
        raised = sigma * (1 + churn)
        if churn > 0:
            noise = randn_tensor(
                model_output.shape, generator, model_output.device, model_output.dtype
            )
            sample = sample + noise * s_noise * (raised**2 - sigma**2) ** 0.5
        kind = self.config.prediction_type
        # The reference reads a v-prediction at the level before churning; so do images made by it.
        level = sigma if kind == "v_prediction" else raised
        original = original_of_sigma(kind, model_output, sample, level)
        previous = sample + (sample - original) / raised * (following - raised)
        previous = previous.to(model_output.dtype)
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return EulerDiscreteSchedulerOutput(previous, original)

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The target of v-prediction for `sample`s noised to `timesteps` of the schedule."""
        refuse_integer_timestep(self, timesteps)
        bars = self.alphas_cumprod[[self.index_for_timestep(t) for t in timesteps]]
        alpha, sigma = broadcast_to(bars**0.5, sample), broadcast_to((1 - bars) ** 0.5, sample)
        return alpha * noise - sigma * sample
