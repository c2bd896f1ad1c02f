"""DDPM (Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.wording import shown

from .base import DiscreteScheduler
from .inputs import custom_schedule, placed
from .options import VARIANCE_TYPES, check_choice, check_one_schedule
from .output import DenoisingOutput as DDPMSchedulerOutput
from .posterior import PosteriorScheduler
from .step_index import Timestep

__all__ = ["DDPMScheduler", "DDPMSchedulerOutput"]


class DDPMScheduler(PosteriorScheduler):
    """DDPM (Ho et al. 2020, arXiv:2006.11239): samples from q(x_{t-1} | x_t, x0) (algorithm 2).

    x0 is the predicted clean sample. The variance is that of the posterior (`fixed_small`, the
    default, also for None), beta_t (`fixed_large`), the second half of the channels of the network
    (`learned`), or an interpolation between the first two by those channels (`learned_range`;
    Nichol & Dhariwal 2021, arXiv:2102.09672, equation 15). The `_log` kinds are the same variances.
    """

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        variance_type: str | None = "fixed_small",
        clip_sample: bool = True,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
    ) -> None:
        self._build_betas()
        check_choice(self, "variance_type", variance_type, VARIANCE_TYPES)
        self.variance_type = variance_type
        self.custom_timesteps = False

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        timesteps: list[int] | None = None,
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, or of custom `timesteps`, descending.

        `timesteps` are moved to `device`.
        """
        check_one_schedule(self, num_inference_steps=num_inference_steps, timesteps=timesteps)
        if timesteps is not None:
            schedule = descending(self, timesteps)
        else:
            assert num_inference_steps is not None
            schedule = self._spaced(num_inference_steps)
            self.num_inference_steps = num_inference_steps
        self.custom_timesteps = timesteps is not None
        self.timesteps = placed(self, schedule, device)

    def previous_timestep(self, timestep: Timestep) -> Any:
        """Return the next, less noisy timestep after `timestep` in the schedule; -1 after the last.

        For a tensor the result is a tensor; without a schedule, it has one value for each timestep.
        """
        if not (self.custom_timesteps or self.num_inference_steps):
            return timestep - 1 if isinstance(timestep, Tensor) else self._whole(timestep) - 1
        if isinstance(timestep, Tensor):
            return timestep.new_tensor(self.previous_timestep(self._whole(timestep)))
        now = self._whole(timestep)
        position = (self.timesteps == now).nonzero()
        if len(position) == 0:
            raise SchedulerError(
                f"timestep {now} is not in the schedule of {type(self).__name__}; pass one of its "
                "`timesteps`"
            )
        after = int(position[0]) + 1
        return int(self.timesteps[after]) if after < len(self.timesteps) else -1

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> DDPMSchedulerOutput | tuple[Tensor, ...]:
        """Return a sample at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape, or twice the
                channels if it predicts the variance as well.
            timestep: the timestep of `sample`.
            sample: the noisy sample.
            generator: the source of noise, which is not drawn at timestep 0.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        self._check_step(model_output, timestep, sample)
        now = self._whole(timestep)
        before = self.previous_timestep(now)
        alpha = self._alpha_bar(now) / self._alpha_bar(before)
        previous, original = self._posterior_step(
            model_output,
            sample,
            now,
            before=before,
            alpha=alpha,
            beta=1 - alpha,
            generator=generator,
        )
        return DDPMSchedulerOutput(previous, original) if return_dict else (previous, original)


def descending(scheduler: DiscreteScheduler, timesteps: Sequence[int]) -> np.ndarray:
    """Return custom `timesteps` as int64.

    Raises:
        SchedulerError: if `timesteps` don't descend strictly, or one is not a training timestep.
    """
    last = scheduler.config.num_train_timesteps - 1
    numbers = custom_schedule(scheduler, "timesteps", timesteps).astype(np.int64)
    if (np.diff(numbers) == 0).any():
        kind = type(scheduler).__name__
        raise SchedulerError(f"{kind}: timesteps must descend strictly, but are {shown(timesteps)}")
    if not (numbers[0] <= last and numbers[-1] >= 0):
        raise SchedulerError(
            f"timesteps go from {numbers[0]} to {numbers[-1]}; the network was trained on 0 to "
            f"{last}"
        )
    return numbers
