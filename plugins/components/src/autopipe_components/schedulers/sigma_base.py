"""The base of schedulers that step along noise levels, in the variance-exploding view."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from autopipe.errors import SchedulerError

from .base import DiscreteScheduler
from .exploding import ExplodingScheduler
from .inputs import placed
from .options import SIGMA_KINDS, check_count, check_sigma_kind
from .sigmas import interpolated, respaced, sigmas_of, timesteps_of
from .spacing import spaced_timesteps


class SigmaScheduler(ExplodingScheduler, DiscreteScheduler):
    """A scheduler that steps along the noise levels of training timesteps."""

    finite_sigmas = True

    def _build_betas(self) -> None:
        super()._build_betas()
        check_sigma_kind(self, self.config)
        self.sigmas = torch.from_numpy(np.append(self._train_sigmas()[::-1], np.float32(0)))
        self.timesteps = self.timesteps.float()

    def _train_sigmas(self) -> np.ndarray:
        """Return the noise level of every training timestep, ascending, float32."""
        return sigmas_of(self.alphas_cumprod)

    @property
    def init_noise_sigma(self) -> Tensor:  # type: ignore[override]
        """The standard deviation of the first latents.

        A schedule that starts at the last training timestep starts from pure noise. One with
        leading spacing starts below it, where the sample still has a part of unit variance.
        """
        highest = self.sigmas.max()
        if self.config.timestep_spacing in ("linspace", "trailing"):
            return highest
        return (highest**2 + 1) ** 0.5

    def _spaced_float(
        self, count: int, train_steps: int | None = None, dtype: DTypeLike = np.float32
    ) -> np.ndarray:
        """Return `count` descending timesteps as floats, in the spacing of the config."""
        config = self.config
        check_count(self, "num_inference_steps", count)
        if train_steps is None:
            train_steps = config.num_train_timesteps
        check_count(self, "num_train_timesteps", train_steps)
        return spaced_timesteps(
            config.timestep_spacing,
            count,
            train_steps,
            config.steps_offset,
            dtype=dtype,
        )

    def _noise_levels(
        self, timesteps: np.ndarray, sigmas: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sigmas at `timesteps`, and the timesteps, both respaced if the config says so.

        `sigmas` are those at `timesteps`; by default interpolated between training timesteps.
        """
        train_sigmas = self._train_sigmas()
        if sigmas is None:
            sigmas = interpolated(timesteps, train_sigmas)
        moved = respaced(self._declared, sigmas, len(timesteps))
        if moved is None:
            return sigmas, timesteps
        return moved, timesteps_of(moved, train_sigmas)

    def _follow(self, timesteps: np.ndarray, device: str | torch.device | None) -> None:
        """Set the schedule to the noise levels at `timesteps` and a final zero."""
        sigmas, timesteps = self._noise_levels(timesteps)
        self.sigmas = torch.from_numpy(np.append(sigmas, 0).astype(np.float32))
        self.timesteps = placed(self, timesteps.astype(np.float32), device)
        self.num_inference_steps = len(timesteps)
        self._rewind()

    def _refuse_respaced(self, timesteps: Any) -> None:
        """Raise `SchedulerError` for custom `timesteps` if the config computes timesteps."""
        kinds = [kind for kind in SIGMA_KINDS if self.config.get(kind)]
        if timesteps is not None and kinds:
            raise SchedulerError(
                f"{type(self).__name__} can't use custom timesteps with {kinds[0]}=True, which "
                "computes timesteps; create it with from_config and that option turned off"
            )
