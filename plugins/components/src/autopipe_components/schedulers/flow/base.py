"""The base of flow schedulers: levels, their shift towards noise, and noised samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.values import Range
from autopipe.wording import shown

from ..checked import CheckedScheduler
from ..inputs import check_noise, check_number, custom_schedule, placed, timesteps_tensor
from ..options import check_choice, check_count, check_sigma_kind
from ..prediction import Real, scalar
from ..sigmas import respaced
from ..solver_base import shifted
from ..step_index import StepIndexMixin, Timestep, broadcast_to, refuse_integer_timestep

LEVELS = Range(0, 1)


class FlowScheduler(StepIndexMixin, CheckedScheduler):
    """A scheduler of a flow; `timesteps` are its levels `sigmas` times `num_train_timesteps`.

    `sigmas` go from 1, which is noise, to 0, which is the sample. They are float32 on the CPU.
    """

    config_kind = "flow"
    sigmas: Tensor
    sigma_min: float
    """The lowest level of training, after the shift of the config."""
    sigma_max: float
    """The highest level of training."""

    def _build_levels(self, shift: float) -> None:
        """Set the levels of training, shifted by `shift`."""
        total = self.config.num_train_timesteps
        levels = shifted(np.arange(total, 0, -1, dtype=np.float32) / np.float32(total), shift)
        self.sigmas = torch.from_numpy(levels.astype(np.float32))
        self.timesteps = self.sigmas * total
        self.sigma_min, self.sigma_max = self.sigmas[-1].item(), self.sigmas[0].item()

    def _even_timesteps(self, count: int) -> np.ndarray:
        """Return `count` timesteps from the highest to the lowest level, float64.

        The range is shifted already, and the caller shifts the grid within it once more, as the
        checkpoints of the Hub were tuned with.
        """
        check_count(self, "num_inference_steps", count)
        total = self.config.num_train_timesteps
        return np.linspace(self.sigma_max * total, self.sigma_min * total, count)

    def _level(self, index: int) -> Real:
        return scalar(self.sigmas[index])

    def _begin(self, model_output: Tensor, timestep: Timestep, sample: Tensor) -> int:
        """Check the arguments of a step, and return its index."""
        self._steps()
        self._check_step(model_output, timestep, sample)
        refuse_integer_timestep(self, timestep)
        return self._index_of(timestep)

    def scale_noise(
        self, sample: Tensor, timestep: Timestep, noise: Tensor | None = None
    ) -> Tensor:
        """Return `sample` noised to `timestep`, (B,) or one, or to the current position."""
        given: Any = noise
        check_noise(self, sample, given)
        times = timesteps_tensor(self, timestep)
        level = broadcast_to(self.sigmas[self._noise_indices(times)], sample)
        noised: Tensor = level * given + (1 - level) * sample
        return noised

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return `scale_noise`, with the arguments of schedulers of diffusion."""
        return self.scale_noise(original_samples, timesteps, noise)


class ShiftedFlowScheduler(FlowScheduler):
    """A flow scheduler whose levels a config or a call shifts towards noise.

    Large pictures need more noise to be hidden (Esser et al. 2024, "Scaling Rectified Flow
    Transformers", arXiv:2403.03206, section 5.3.2). The shift is that of the config or, with
    `use_dynamic_shifting`, a function of the `mu` of the call.
    """

    _shift: float

    def _build_shifted(self) -> None:
        config = self.config
        check_sigma_kind(self, config)
        check_choice(self, "time_shift_type", config.time_shift_type, ("exponential", "linear"))
        self._shift = config.shift
        self._build_levels(1.0 if config.use_dynamic_shifting else config.shift)

    @property
    def shift(self) -> float:
        """The static shift of the next schedule."""
        return self._shift

    def set_shift(self, shift: float) -> None:
        """Set the static shift of the next schedule; the range of its levels stays."""
        self._shift = check_number(self, "shift", shift, self.config_limits["shift"])

    def time_shift(self, mu: float, sigma: float, t: Any) -> Any:
        """Return levels `t` shifted by `mu`: exp(mu), or mu itself, by `time_shift_type`.

        Args:
            mu: the shift.
            sigma: an exponent; 1 is that of the paper.
            t: levels in (0, 1], a number, an array or a tensor.
        """
        power = math.exp(mu) if self.config.time_shift_type == "exponential" else mu
        return power / (power + (1 / t - 1) ** sigma)

    def stretch_shift_to_terminal(self, t: Any) -> Any:
        """Return levels `t`, stretched so that the last one is `shift_terminal`."""
        rest = 1 - t
        if rest[-1] == 0:
            raise SchedulerError(
                f"{type(self).__name__} can't stretch a schedule that ends at 1 to shift_terminal; "
                "use more steps"
            )
        return 1 - rest / (rest[-1] / (1 - self.config.shift_terminal))

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | np.ndarray | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        """Set the schedule, from a number of steps or from levels.

        Args:
            num_inference_steps: the number of steps; with `sigmas` or `timesteps`, their number.
            device: the device of `timesteps`; `sigmas` stay on the CPU.
            sigmas: levels in [0, 1], descending, without the last 0; they are still shifted.
            mu: the shift; required with `use_dynamic_shifting`, and not used without.
            timesteps: what the network is told, descending. They are not shifted; without `sigmas`
                the levels are these timesteps' own, shifted.

        Raises:
            SchedulerError: if the arguments don't define a schedule.
        """
        config = self.config
        if config.use_dynamic_shifting and mu is None:
            raise SchedulerError(
                f"{type(self).__name__}.set_timesteps needs mu with use_dynamic_shifting=True"
            )
        told = self._custom("timesteps", timesteps, Range(0, config.num_train_timesteps))
        levels = self._custom("sigmas", sigmas, LEVELS)
        count = self._count(num_inference_steps, levels, told)
        if levels is None:
            visited = self._even_timesteps(count) if told is None else told
            levels = visited / config.num_train_timesteps
        levels = self._moved(levels, mu)
        final = 0.0
        schedule = levels.astype(np.float32)
        if config.invert_sigmas:
            schedule, final, told = 1 - schedule, 1.0, None
        self.sigmas = torch.from_numpy(np.append(schedule, np.float32(final)))
        if told is None:
            told = schedule * np.float32(config.num_train_timesteps)
        self.timesteps = placed(self, told, device)
        self.num_inference_steps = count
        self._rewind()

    def _custom(self, name: str, values: Any, limits: Range) -> np.ndarray | None:
        """Return a custom schedule as float32, in which it is shifted; None if there is none."""
        if values is None:
            return None
        return custom_schedule(self, name, values, limits).astype(np.float32)

    def _count(self, steps: int | None, *given: np.ndarray | None) -> int:
        """Return the number of steps on which all of the arguments agree."""
        counts = {len(one) for one in given if one is not None}
        if steps is not None:
            check_count(self, "num_inference_steps", steps)
            counts.add(steps)
        if len(counts) != 1:
            raise SchedulerError(
                f"{type(self).__name__}.set_timesteps takes num_inference_steps, sigmas or "
                f"timesteps, of one length; it got {shown(sorted(counts)) if counts else 'none'}"
            )
        return counts.pop()

    def _moved(self, levels: np.ndarray, mu: float | None) -> np.ndarray:
        """Return levels shifted, stretched and respaced as the config says."""
        config = self.config
        with np.errstate(divide="ignore"):  # a level of 0 stays 0
            if config.use_dynamic_shifting:
                check_number(self, "mu", mu, Range(-100, 100))
                levels = self.time_shift(mu, 1.0, levels)  # type: ignore[arg-type]
            else:
                levels = shifted(levels, self.shift)
        if config.shift_terminal:
            levels = self.stretch_shift_to_terminal(levels)
        moved = respaced(self._declared, levels, len(levels))
        return levels if moved is None else moved
