"""DDIM with steps for many timesteps at once (Shih et al. 2023, "Parallel Sampling of Diffusion
Models", arXiv:2305.16317).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from autopipe.errors import SchedulerError

from .ddim import DDIMScheduler
from .ddim import DDIMSchedulerOutput as DDIMParallelSchedulerOutput
from .inputs import check_number
from .parallel import neighbouring_bars

__all__ = ["DDIMParallelScheduler", "DDIMParallelSchedulerOutput"]


class DDIMParallelScheduler(DDIMScheduler):
    """DDIM for the parallel sampling of ParaDiGMS (Shih et al. 2023, arXiv:2305.16317)."""

    listed = False
    is_ode_scheduler: ClassVar[bool] = True

    def batch_step_no_noise(
        self,
        model_output: Tensor,
        timesteps: Tensor,
        sample: Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
    ) -> Tensor:
        """Return each sample after a step of its own, from its timestep, without noise.

        Args:
            model_output: the predictions of the network, (B, ...).
            timesteps: the timestep of each sample, (B,).
            sample: the noisy samples, (B, ...).
            eta: 0, since no noise is added.
            use_clipped_model_output: derive the noise from the clipped clean sample.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `eta` is not 0.
        """
        self._check_prediction(model_output, sample)
        if check_number(self, "eta", eta) != 0:
            raise SchedulerError(
                f"{type(self).__name__}.batch_step_no_noise adds no noise; leave out eta"
            )
        bar, before = neighbouring_bars(self, timesteps, self._steps(), sample)
        original, noise = self._split(model_output, sample, bar, clipped=use_clipped_model_output)
        return before**0.5 * original + (1 - before) ** 0.5 * noise
