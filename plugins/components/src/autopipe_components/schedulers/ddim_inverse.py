"""DDIM in the other direction (Song et al. 2020, arXiv:2010.02502; Dhariwal & Nichol 2021,
"Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233, appendix F).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config

from .ddim import DDIMStep
from .inputs import placed
from .options import check_choice
from .output import DenoisingOutput as DDIMSchedulerOutput
from .step_index import Timestep

__all__ = ["DDIMInverseScheduler", "DDIMSchedulerOutput"]


class DDIMInverseScheduler(DDIMStep):
    """DDIM from the picture to the noise that draws it (Song et al. 2020, arXiv:2010.02502).

    `timesteps` ascend. A step goes from the level one stride below a timestep up to that timestep,
    with the network's output for the timestep.
    """

    spacings: ClassVar[tuple[str, ...]] = ("leading", "trailing")
    listed = False

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        clip_sample_range: float = 1.0,
        timestep_spacing: str = "leading",
        rescale_betas_zero_snr: bool = False,
    ) -> None:
        self._build_betas()
        self.timesteps = self.timesteps.flip(0)

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`.

        Raises:
            SchedulerError: if the spacing is `linspace`, whose timesteps are not one stride apart.
        """
        check_choice(self, "timestep_spacing", self.config.timestep_spacing, self.spacings)
        schedule = self._spaced(num_inference_steps)[::-1].copy()
        self.timesteps = placed(self, schedule, device)
        self.num_inference_steps = num_inference_steps

    def step(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> DDIMSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample after one step, with more noise, at `timestep`.

        Args:
            model_output: the prediction of the network for `sample` and `timestep`; same shape.
            timestep: the timestep to step to.
            sample: the sample one stride below it.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called.
        """
        self._check_step(model_output, timestep, sample)
        above = self._whole(timestep)
        now = above - self.config.num_train_timesteps // self._steps()
        bar, bar_above = self._alpha_bar(now), self._alpha_bar(above)
        original, noise = self._split(model_output, sample, bar)
        previous = bar_above**0.5 * original + (1 - bar_above) ** 0.5 * noise
        return DDIMSchedulerOutput(previous, original) if return_dict else (previous, original)
