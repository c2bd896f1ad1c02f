"""The position of a scheduler in its schedule."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.wording import shown

from .inputs import Timestep, check_timestep, timesteps_tensor

__all__ = ["StepIndexMixin", "Timestep", "broadcast_to", "refuse_integer_timestep"]


class StepIndexMixin:
    """Counts the steps of a call.

    The count starts at the begin index if a pipeline has set one (image to image starts in the
    middle), else at the position of the first timestep.
    """

    timesteps: Tensor
    _step_index: int | None = None
    _begin_index: int | None = None

    @property
    def step_index(self) -> int | None:
        """The index of the next step; None before the first step."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The index of the first step; None unless `set_begin_index` was called."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Start the schedule at `begin_index`.

        Raises:
            SchedulerError: if `begin_index` is not a whole number of at least 0.
        """
        try:
            self._begin_index = operator.index(begin_index)
        except TypeError:
            self._begin_index = -1
        if self._begin_index < 0 or isinstance(begin_index, bool):
            self._begin_index = None
            raise SchedulerError(
                f"{type(self).__name__} takes a whole number from 0 as begin_index, not "
                f"{shown(begin_index)}"
            )

    def _rewind(self) -> None:
        """Forget the position."""
        self._step_index = self._begin_index = None

    def index_for_timestep(
        self, timestep: Timestep, schedule_timesteps: Tensor | None = None
    ) -> int:
        """Return the index of `timestep` in the schedule; the second one if it occurs twice.

        Schedules of second-order solvers have most timesteps twice. A start in the middle begins
        with the first-order half of a step, which is the second of such a pair.

        Raises:
            SchedulerError: if the schedule doesn't have this timestep.
        """
        check_timestep(self, timestep)
        schedule = self.timesteps
        if schedule_timesteps is not None:
            schedule = timesteps_tensor(self, schedule_timesteps)
        if isinstance(timestep, Tensor):
            timestep = timestep.to(schedule.device)
        positions = (schedule == timestep).nonzero()
        if len(positions) == 0:
            raise SchedulerError(
                f"timestep {float(timestep):g} is not in the schedule of {type(self).__name__}; "
                "pass one of its `timesteps`"
            )
        return int(positions[min(1, len(positions) - 1)])

    def _index_of(self, timestep: Timestep) -> int:
        """Return the step index; for the first step, the begin index or the index of `timestep`.

        Raises:
            SchedulerError: if the schedule is at its end, or doesn't have `timestep`.
        """
        if self._step_index is None:
            begin = self._begin_index
            self._step_index = self.index_for_timestep(timestep) if begin is None else begin
        if self._step_index >= len(self.timesteps):
            raise SchedulerError(
                f"{type(self).__name__} has taken all of its {len(self.timesteps)} steps; call "
                "set_timesteps before the next run"
            )
        return self._step_index

    def _noise_indices(self, timesteps: Tensor) -> list[int]:
        """Return for each of `timesteps` the index of the schedule at which `add_noise` adds noise.

        It is the step index once steps were taken, and before that the begin index, since callers
        add noise for the next step; without a begin index, it is the index of the timestep.
        """
        timesteps = timesteps_tensor(self, timesteps)
        if self._begin_index is None:
            return [self.index_for_timestep(timestep) for timestep in timesteps]
        index = self._begin_index if self._step_index is None else self._step_index
        if index > len(self.timesteps):
            raise SchedulerError(
                f"{type(self).__name__} has the begin index {index}, beyond the end of its schedule"
            )
        return [index] * len(timesteps)


def broadcast_to(values: Tensor, sample: Tensor) -> Tensor:
    """Return `values`, one per sample, with the device, dtype and number of axes of `sample`.

    Raises:
        SchedulerError: if the number of `values` is neither 1 nor the batch size.
    """
    values = values.to(device=sample.device, dtype=sample.dtype).flatten()
    if len(values) not in (1, sample.shape[0]) and sample.shape[0] != 1:
        raise SchedulerError(
            f"{len(values)} timesteps were given for {sample.shape[0]} samples; give one for each"
        )
    return values.reshape(-1, *[1] * (sample.ndim - 1))


def refuse_integer_timestep(owner: object, timestep: object) -> None:
    """Raise `SchedulerError` for an int, which would be a position and not a timestep."""
    if isinstance(timestep, int) or (
        isinstance(timestep, Tensor) and not torch.is_floating_point(timestep)
    ):
        raise SchedulerError(
            f"{type(owner).__name__} takes timesteps, not positions such as those of enumerate(); "
            "pass one of its `timesteps`"
        )
