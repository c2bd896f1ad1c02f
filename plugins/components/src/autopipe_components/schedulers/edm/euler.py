"""Euler's method with EDM's preconditioning (Karras et al. 2022, arXiv:2206.00364, algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.values import Range

from ..churn import Churn
from ..inputs import check_prediction, custom_schedule
from ..options import check_count
from ..output import DenoisingOutput as EDMEulerSchedulerOutput
from ..step_index import refuse_integer_timestep
from .base import EDMScheduler

__all__ = ["EDMEulerScheduler", "EDMEulerSchedulerOutput"]


class EDMEulerScheduler(EDMScheduler):
    """Euler's method with EDM's preconditioning (Karras et al. 2022, arXiv:2206.00364).

    For networks that were trained so, such as Playground 2.5; it takes algorithm 2 without its
    second order.
    """

    @register_to_config
    def __init__(
        self,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        sigma_data: float = 0.5,
        sigma_schedule: str = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: str = "epsilon",
        rho: float = 7.0,
        final_sigmas_type: str = "zero",
    ) -> None:
        self._build_levels(num_train_timesteps + 1)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | Tensor | None = None,
    ) -> None:
        """Set the schedule.

        Args:
            num_inference_steps: the number of steps.
            device: the device of `timesteps`; `sigmas` stay on the CPU.
            sigmas: places between `sigma_max` at 0 and `sigma_min` at 1, ascending, which the
                schedule of the config maps to noise levels, instead of a number of steps. An
                exponential schedule uses only how many there are.
        """
        if sigmas is None:
            ramp = self._ramp(num_inference_steps)
        else:
            places = custom_schedule(self, "sigmas", sigmas, Range(0, 1), ascending=True)
            ramp = torch.from_numpy(places)
        self._follow(ramp, device)

    def _ramp(self, count: Any) -> Tensor:
        check_count(self, "num_inference_steps", count)
        return torch.linspace(0, 1, count, dtype=torch.float64)

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
        pred_original_sample: Tensor | None = None,
    ) -> EDMEulerSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the next noise level.

        Args:
            model_output: the output of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample; the step is taken in float32.
            s_churn, s_tmin, s_tmax, s_noise: the amount of noise added before the step, the lowest
                and highest noise level at which it is added, and its scale; by default no noise.
            generator: the source of that noise.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
            pred_original_sample: the clean sample, instead of the one that `model_output`
                represents.
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
        original = pred_original_sample
        if original is None:
            original = self.precondition_outputs(sample, model_output, raised)
        else:
            check_prediction(self, original, sample, learned=False)
        previous = sample + (sample - original) / raised * (following - raised)
        previous = previous.to(model_output.dtype)
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return EDMEulerSchedulerOutput(previous, original)
