"""Schedulers that step along noise levels, in the variance-exploding view: x0 + sigma * noise."""

from __future__ import annotations

import warnings

from torch import Tensor

from autopipe.errors import SchedulerError
from autopipe.wording import shown

from .checked import CheckedScheduler
from .inputs import check_noise
from .prediction import Real, scalar
from .step_index import StepIndexMixin, Timestep, broadcast_to


class ExplodingScheduler(StepIndexMixin, CheckedScheduler):
    """A scheduler whose samples are in the variance-exploding view, wherever its levels come from.

    `sigmas` are always float32 and on the CPU, and end with the final noise level.
    """

    sigmas: Tensor
    is_scale_input_called: bool = False

    def scale_model_input(self, sample: Tensor, timestep: Timestep) -> Tensor:  # type: ignore[override]
        """Return `sample` as the network takes it: divided by sqrt(sigma^2 + variance of data)."""
        return self._scaled(sample, self._sigma(self._index_of(timestep)))

    def _scaled(self, sample: Tensor, sigma: Real) -> Tensor:
        if not isinstance(sample, Tensor):
            raise SchedulerError(f"{type(self).__name__} scales tensors, not {shown(sample)}")
        self.is_scale_input_called = True
        scaled: Tensor = sample / (sigma**2 + self._data_variance()) ** 0.5
        return scaled

    def _data_variance(self) -> float:
        """Return the variance of clean samples that the network was trained with."""
        return 1.0

    def _sigma(self, index: int) -> Real:
        """Return the noise level at `index` of the schedule."""
        return scalar(self.sigmas[index])

    def _scaled_index_of(self, timestep: Timestep) -> int:
        """Return the step index; warn if `scale_model_input` was never called."""
        if not self.is_scale_input_called:
            warnings.warn(
                f"{type(self).__name__}.step was called before scale_model_input; call that "
                "for the input of the network",
                stacklevel=3,
            )
            self.is_scale_input_called = True
        return self._index_of(timestep)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return `original_samples` noised to `timesteps`, (B,), or to the current position."""
        check_noise(self, original_samples, noise)
        sigmas = self.sigmas[self._noise_indices(timesteps)]
        return original_samples + noise * broadcast_to(sigmas, original_samples)
