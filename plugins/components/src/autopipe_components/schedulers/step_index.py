"""Where in its schedule a scheduler stands."""

from __future__ import annotations

import torch
from torch import Tensor

from autopipe.errors import SchedulerError

Timestep = int | float | Tensor
"""One timestep: a number or a tensor of one element."""


class StepIndexMixin:
    """Counts the steps of a call.

    The count starts at the begin index where a pipeline has set one (image to image starts in the
    middle), else at the position of the first timestep that is seen.
    """

    timesteps: Tensor
    _step_index: int | None = None
    _begin_index: int | None = None

    @property
    def step_index(self) -> int | None:
        """The index of the step to be taken next; None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The index at which the schedule is entered, where `set_begin_index` gave one."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Enter the schedule at `begin_index`."""
        self._begin_index = begin_index

    def _rewind(self) -> None:
        """Forget where the schedule stood."""
        self._step_index = self._begin_index = None

    def index_for_timestep(
        self, timestep: Timestep, schedule_timesteps: Tensor | None = None
    ) -> int:
        """The index of `timestep` in the schedule: the second one if it is there twice.

        Schedules of second-order solvers visit most timesteps twice, and one that is entered in
        the middle begins with a first-order half, which is the second of a pair.

        Raises:
            SchedulerError: the schedule doesn't visit this timestep.
        """
        schedule = self.timesteps if schedule_timesteps is None else schedule_timesteps
        if isinstance(timestep, Tensor):
            timestep = timestep.to(schedule.device)
        found = (schedule == timestep).nonzero()
        if len(found) == 0:
            raise SchedulerError(
                f"timestep {float(timestep):g} is not in the schedule of {type(self).__name__}; "
                "pass one of its `timesteps`"
            )
        return int(found[min(1, len(found) - 1)])

    def _index_of(self, timestep: Timestep) -> int:
        """The step index, found from `timestep` if this is the first step."""
        if self._step_index is None:
            begin = self._begin_index
            self._step_index = self.index_for_timestep(timestep) if begin is None else begin
        return self._step_index

    def _noise_indices(self, timesteps: Tensor) -> list[int]:
        """For each of `timesteps` the schedule index at which `add_noise` adds noise.

        Once stepping has begun it is the step index, before that the begin index (the caller
        mixes in noise for the step that comes next); without either, that of the timestep.
        """
        if self._begin_index is None:
            return [self.index_for_timestep(timestep) for timestep in timesteps]
        index = self._begin_index if self._step_index is None else self._step_index
        return [index] * timesteps.shape[0]


def broadcast_to(values: Tensor, sample: Tensor) -> Tensor:
    """`values`, one per sample, with the device, dtype and number of axes of `sample`."""
    values = values.to(device=sample.device, dtype=sample.dtype).flatten()
    return values.reshape(-1, *[1] * (sample.ndim - 1))


def refuse_integer_timestep(owner: object, timestep: object) -> None:
    """Raise `SchedulerError` for a whole number: a position in the schedule, not a timestep."""
    if isinstance(timestep, int) or (
        isinstance(timestep, Tensor) and not torch.is_floating_point(timestep)
    ):
        raise SchedulerError(
            f"{type(owner).__name__} takes timesteps, not positions such as those of enumerate(); "
            "pass one of its `timesteps`"
        )
