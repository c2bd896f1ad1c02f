"""DDPM with a continuous cosine schedule (Pernias et al. 2023, "Würstchen", arXiv:2306.00637)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.values import Range
from autopipe.wording import shown

from ..noise import randn_tensor
from .checked import CheckedScheduler
from .inputs import check_noise, custom_schedule, placed
from .options import check_count, check_one_schedule
from .output import SchedulerOutput as DDPMWuerstchenSchedulerOutput
from .step_index import broadcast_to

__all__ = ["DDPMWuerstchenScheduler", "DDPMWuerstchenSchedulerOutput"]

BARS = (0.0001, 0.9999)
"""The lowest and highest alpha_bar, so that no step divides by zero."""
TIMES = Range(0, 1)


class DDPMWuerstchenScheduler(CheckedScheduler):
    """DDPM on times from 1, which is noise, to 0 (Pernias et al. 2023, arXiv:2306.00637).

    alpha_bar follows the cosine of Nichol & Dhariwal 2021 (arXiv:2102.09672). `timesteps` has one
    more entry than there are steps: a pipeline doesn't step from the last.
    """

    has_compatibles = False

    @register_to_config
    def __init__(self, scaler: float = 1.0, s: float = 0.008) -> None:
        self.timesteps = torch.linspace(1, 0, 2)

    def __len__(self) -> int:
        return len(self.timesteps)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        timesteps: Sequence[float] | Tensor | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        """Set the schedule.

        Args:
            num_inference_steps: the number of steps.
            timesteps: times from 1 to 0, descending, one more than steps; instead of a number.
            device: the device of `timesteps`.

        Raises:
            SchedulerError: if not exactly one of the first two is given.
        """
        check_one_schedule(self, num_inference_steps=num_inference_steps, timesteps=timesteps)
        if timesteps is None:
            check_count(self, "num_inference_steps", num_inference_steps)
            assert num_inference_steps is not None
            times = torch.linspace(1, 0, num_inference_steps + 1)
        else:
            numbers = custom_schedule(self, "timesteps", timesteps, TIMES).astype(np.float32)
            times = torch.from_numpy(numbers)
            if len(times) < 2:
                raise SchedulerError(
                    f"{type(self).__name__}: timesteps need the time of each step and the end, at "
                    f"least two, and are {shown(timesteps)}"
                )
        self.timesteps = placed(self, times, device)
        self.num_inference_steps = len(times) - 1

    def _times(self, timesteps: Any) -> Tensor:
        """Return the times of a batch, (B,), as float32.

        Raises:
            SchedulerError: if they are not numbers from 0 to 1.
        """
        try:
            times = torch.as_tensor(timesteps).float()
            times = times.reshape(1) if times.ndim == 0 else times
        except (TypeError, ValueError, RuntimeError, OverflowError):
            times = torch.empty(0)
        if times.ndim != 1 or not len(times) or not bool(((times >= 0) & (times <= 1)).all()):
            raise SchedulerError(
                f"{type(self).__name__} has times from 0 to 1, not {shown(timesteps)}; pass one of "
                "its `timesteps` for each sample"
            )
        return times

    def _alpha_bar(self, times: Tensor) -> Tensor:
        """Return alpha_bar at `times`."""
        config = self.config
        if config.scaler > 1:
            times = 1 - (1 - times) ** config.scaler
        elif config.scaler < 1:
            times = times**config.scaler
        offset = torch.tensor(config.s, device=times.device)

        def squared_cosine(at: Tensor | float) -> Tensor:
            squared: Tensor = ((at + offset) / (1 + offset) * math.pi * 0.5).cos() ** 2
            return squared

        return (squared_cosine(times) / squared_cosine(0.0)).clamp(*BARS)

    def previous_timestep(self, timestep: Tensor) -> Tensor:
        """Return the next, less noisy time for each of `timestep`, by the first of them.

        Raises:
            SchedulerError: if it is the last time of the schedule.
        """
        times = self._times(timestep)
        index = int((self.timesteps - times[0]).abs().argmin()) + 1
        if index >= len(self.timesteps):
            raise SchedulerError(
                f"{type(self).__name__} has no step from the last of its timesteps; leave it out"
            )
        return self.timesteps[index].expand(len(times))

    def step(
        self,
        model_output: Tensor,
        timestep: Tensor,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> DDPMWuerstchenSchedulerOutput | tuple[Tensor]:
        """Return a sample at the next time.

        Args:
            model_output: the predicted noise in `sample`; same shape.
            timestep: the time of each sample, (B,) or one; the first counts.
            sample: the noisy sample.
            generator: the source of noise, which is drawn in every step and not added in the last.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        self._check_prediction(model_output, sample)
        following = self.previous_timestep(timestep)
        wide = sample.float()
        bar = broadcast_to(self._alpha_bar(self._times(timestep)), wide)
        bar_before = broadcast_to(self._alpha_bar(following), wide)
        alpha = bar / bar_before
        mean = (1 / alpha).sqrt() * (sample - (1 - alpha) * model_output / (1 - bar).sqrt())
        noise = randn_tensor(mean.shape, generator, model_output.device, model_output.dtype)
        deviation = ((1 - alpha) * (1 - bar_before) / (1 - bar)).sqrt()
        adds = broadcast_to((following != 0).float(), wide)
        previous = (mean + deviation * noise * adds).to(model_output.dtype)
        return DDPMWuerstchenSchedulerOutput(previous) if return_dict else (previous,)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return `original_samples` noised to the times `timesteps`, (B,)."""
        check_noise(self, original_samples, noise)
        bar = broadcast_to(self._alpha_bar(self._times(timesteps)), original_samples.float())
        noisy = bar.sqrt() * original_samples + (1 - bar).sqrt() * noise
        return noisy.to(original_samples.dtype)
