"""DDPM with steps for many timesteps at once (Shih et al. 2023, "Parallel Sampling of Diffusion
Models", arXiv:2305.16317).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .ddpm import DDPMScheduler
from .ddpm import DDPMSchedulerOutput as DDPMParallelSchedulerOutput
from .parallel import neighbouring_bars

__all__ = ["DDPMParallelScheduler", "DDPMParallelSchedulerOutput"]


class DDPMParallelScheduler(DDPMScheduler):
    """DDPM for the parallel sampling of ParaDiGMS (Shih et al. 2023, arXiv:2305.16317)."""

    listed = False
    is_ode_scheduler: ClassVar[bool] = False

    def batch_step_no_noise(
        self, model_output: Tensor, timesteps: Tensor, sample: Tensor
    ) -> Tensor:
        """Return the mean of each sample's step, from its timestep, to which callers add noise.

        Args:
            model_output: the predictions of the network, (B, ...), perhaps with a variance.
            timesteps: the timestep of each sample, (B,).
            sample: the noisy samples, (B, ...).
        """
        self._check_prediction(model_output, sample)
        steps = self.num_inference_steps or self.config.num_train_timesteps
        bar, before = neighbouring_bars(self, timesteps, steps, sample)
        alpha = bar / before
        return self._posterior_mean(model_output, sample, bar, before, alpha, 1 - alpha)[0]
