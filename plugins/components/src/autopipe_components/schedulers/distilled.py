"""Schedules of consistency-distilled networks: a few of the timesteps of the teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.values import Range

from .base import DiscreteScheduler
from .ddpm import descending
from .inputs import check_number, placed
from .options import check_count, check_one_schedule
from .step_index import StepIndexMixin, Timestep


class DistilledScheduler(StepIndexMixin, DiscreteScheduler):
    """A scheduler whose steps are spread over the `original_inference_steps` of the teacher."""

    custom_timesteps: bool = False

    def _build_betas(self) -> None:
        super()._build_betas()
        self._teacher_timesteps(self.config.original_inference_steps, strength=1.0)

    def _teacher_timesteps(self, original_steps: int, strength: float) -> np.ndarray:
        """Return the ascending timesteps of the teacher, up to the fraction `strength` of them."""
        trained = self.config.num_train_timesteps
        if original_steps > trained:
            raise SchedulerError(
                f"{type(self).__name__} can't have {original_steps} original_inference_steps: the "
                f"network was trained on {trained} timesteps (num_train_timesteps)"
            )
        visited = np.arange(1, int(original_steps * strength) + 1)
        timesteps: np.ndarray = visited * (trained // original_steps) - 1
        return timesteps

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        original_inference_steps: int | None = None,
        timesteps: list[int] | None = None,
        strength: float = 1.0,
    ) -> None:
        """Set the schedule.

        Args:
            num_inference_steps: the number of steps.
            device: the device of `timesteps`.
            original_inference_steps: the number of steps of the teacher; by default that of the
                config.
            timesteps: custom timesteps, descending, instead of a number of steps.
            strength: the fraction of the schedule to run, for image to image.

        Raises:
            SchedulerError: if there are more steps than the teacher has within `strength`.
        """
        check_one_schedule(self, num_inference_steps=num_inference_steps, timesteps=timesteps)
        check_number(self, "strength", strength, Range(0, 1))
        if original_inference_steps is not None:
            check_count(self, "original_inference_steps", original_inference_steps)
        if timesteps is not None:
            every = descending(self, timesteps)
            schedule = every[len(every) - int(len(every) * strength) :]
            self.num_inference_steps = len(every)
        else:
            assert num_inference_steps is not None
            check_count(self, "num_inference_steps", num_inference_steps)
            teacher = self._teacher(original_inference_steps, strength)
            limit = original_inference_steps or self.config.original_inference_steps
            if num_inference_steps > min(len(teacher), limit):
                raise SchedulerError(
                    f"{type(self).__name__}: {num_inference_steps} steps are more than the "
                    f"{min(len(teacher), limit)} of the teacher; raise "
                    "original_inference_steps or strength"
                )
            positions = np.linspace(0, len(teacher), num_inference_steps, endpoint=False)
            schedule = teacher[::-1][positions.astype(np.int64)]
            self.num_inference_steps = num_inference_steps
        self.custom_timesteps = timesteps is not None
        self.timesteps = placed(self, schedule.astype(np.int64), device)
        self._rewind()

    def _teacher(self, original_steps: int | None, strength: float) -> np.ndarray:
        """Return the teacher's timesteps for `original_steps`, by default those of the config."""
        steps = original_steps or self.config.original_inference_steps
        return self._teacher_timesteps(steps, strength)

    def previous_timestep(self, timestep: Timestep) -> Any:
        """Return the next, less noisy timestep after `timestep` in the schedule; -1 after the last.

        For a tensor the result is a tensor; without a schedule, it has one value for each timestep.
        """
        if not (self.custom_timesteps or self.num_inference_steps):
            return timestep - 1 if isinstance(timestep, Tensor) else self._whole(timestep) - 1
        if isinstance(timestep, Tensor):
            return timestep.new_tensor(self.previous_timestep(self._whole(timestep)))
        after = self.index_for_timestep(timestep) + 1
        return int(self.timesteps[after]) if after < len(self.timesteps) else -1
