"""Euler's method (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without its second order)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.wording import shown

from .churn import Churn
from .inputs import check_noise, custom_schedule, placed, timesteps_tensor
from .options import SIGMA, check_choice, check_one_schedule
from .output import DenoisingOutput as EulerDiscreteSchedulerOutput
from .prediction import PREDICTION_TYPES, original_of_sigma
from .sigma_base import SigmaScheduler
from .sigmas import timesteps_of
from .step_index import broadcast_to, refuse_integer_timestep

__all__ = ["EulerDiscreteScheduler", "EulerDiscreteSchedulerOutput"]


class EulerDiscreteScheduler(SigmaScheduler):
    """Euler's method (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without its second order).

    It follows the tangent of the ODE dx/dsigma = (x - x0) / sigma from one sigma to the next.
    """

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
        kinds = (config.timestep_type, config.prediction_type)
        return kinds == ("continuous", "v_prediction")

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
    ) -> None:
        """Set the schedule.

        Args:
            num_inference_steps: the number of steps, in the spacing of the config.
            device: the device of `timesteps`; `sigmas` stay on the CPU.
            timesteps: custom timesteps, descending, instead of a number of steps.
            sigmas: custom noise levels, descending, including the last one, which is usually 0.

        Raises:
            SchedulerError: if not exactly one of the three is given, or if custom `timesteps` are
                given with a config that computes timesteps.
        """
        check_one_schedule(
            self, num_inference_steps=num_inference_steps, timesteps=timesteps, sigmas=sigmas
        )
        if sigmas is not None:
            levels = custom_schedule(self, "sigmas", sigmas, SIGMA).astype(np.float32)
            if len(levels) < 2:
                raise SchedulerError(
                    f"{type(self).__name__}: sigmas need the noise level of each step and the last "
                    f"one, at least two, and are {shown(sigmas)}"
                )
            schedule = timesteps_of(levels[:-1], self._train_sigmas())
        else:
            schedule, levels = self._schedule(num_inference_steps, timesteps)
        self.num_inference_steps = len(schedule)
        self.sigmas = torch.from_numpy(levels.astype(np.float32))
        if self._is_continuous():
            self.timesteps = placed(self, 0.25 * self.sigmas[:-1].log(), device)
        else:
            self.timesteps = placed(self, schedule.astype(np.float32), device)
        self._rewind()

    def _schedule(
        self, count: int | None, timesteps: list[int] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the timesteps, and their sigmas followed by the final one."""
        self._refuse_respaced(timesteps)
        if timesteps is None:
            assert count is not None
            spaced = self._spaced_float(count)
        elif self._is_continuous():
            raise SchedulerError(
                "a network that takes log(sigma) / 4 can't have custom timesteps; pass sigmas"
            )
        else:
            spaced = custom_schedule(self, "timesteps", timesteps).astype(np.float32)
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
        """Return the sample at the next noise level.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample; the step is taken in float32.
            s_churn, s_tmin, s_tmax, s_noise: the amount of noise added before the step, the lowest
                and highest noise level at which it is added, and its scale (algorithm 2); by
                default no noise.
            generator: the source of that noise.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        self._check_step(model_output, timestep, sample)
        refuse_integer_timestep(self, timestep)
        index = self._scaled_index_of(timestep)
        sigma, following = self._sigma(index), self._sigma(index + 1)
        sample, raised = Churn(s_churn, s_tmin, s_tmax, s_noise).raise_level(
            self,
            sample.float(),
            sigma,
            steps=len(self.sigmas) - 1,
            like=model_output,
            generator=generator,
        )
        kind = self.config.prediction_type
        # As in diffusers, a v-prediction is read at the noise level before churning.
        level = sigma if kind == "v_prediction" else raised
        original = original_of_sigma(kind, model_output, sample, level)
        previous = sample + (sample - original) / raised * (following - raised)
        previous = previous.to(model_output.dtype)
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return EulerDiscreteSchedulerOutput(previous, original)

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the target of v-prediction for samples noised to `timesteps` of the schedule."""
        check_noise(self, sample, noise)
        refuse_integer_timestep(self, timesteps)
        timesteps = timesteps_tensor(self, timesteps)
        bars = self.alphas_cumprod[[self.index_for_timestep(t) for t in timesteps]]
        alpha, sigma = broadcast_to(bars**0.5, sample), broadcast_to((1 - bars) ** 0.5, sample)
        return alpha * noise - sigma * sample
