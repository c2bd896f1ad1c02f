"""UnCLIP's prior (Ramesh et al. 2022, "Hierarchical Text-Conditional Image Generation with CLIP
Latents", arXiv:2204.06125).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.values import Range

from .betas import BETA_SCHEDULES
from .inputs import check_number, placed
from .options import MOST_STEPS, check_choice
from .output import DenoisingOutput as UnCLIPSchedulerOutput
from .posterior import PosteriorScheduler
from .prediction import scalar
from .step_index import Timestep

__all__ = ["UnCLIPScheduler", "UnCLIPSchedulerOutput"]


class UnCLIPScheduler(PosteriorScheduler):
    """Ancestral sampling of UnCLIP (Ramesh et al. 2022, arXiv:2204.06125).

    Timesteps are evenly spaced and include the first and the last. The caller names the timestep to
    which a step leads. The variance is that of the posterior (`fixed_small_log`), or an
    interpolation between it and beta by the second half of the channels of the network
    (`learned_range`; Nichol & Dhariwal 2021, arXiv:2102.09672, equation 15).
    """

    prediction_types: ClassVar[tuple[str, ...]] = ("epsilon", "sample")
    has_compatibles: ClassVar[bool] = False

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        variance_type: str = "fixed_small_log",
        clip_sample: bool = True,
        clip_sample_range: float = 1.0,
        prediction_type: str = "epsilon",
        beta_schedule: str = "squaredcos_cap_v2",
    ) -> None:
        check_choice(self, "prediction_type", prediction_type, self.prediction_types)
        check_choice(self, "beta_schedule", beta_schedule, ("squaredcos_cap_v2",))
        check_choice(self, "variance_type", variance_type, ("fixed_small_log", "learned_range"))
        self.betas = BETA_SCHEDULES[beta_schedule](num_train_timesteps, 0.0, 0.0)
        self._follow_betas()
        self.variance_type = variance_type

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, 2 or more; `timesteps` are on `device`."""
        self._check_steps(num_inference_steps)
        if num_inference_steps == 1:
            raise SchedulerError(
                "num_inference_steps is 1; UnCLIPScheduler goes from the last timestep to the "
                "first, which needs at least 2 steps"
            )
        self.num_inference_steps = num_inference_steps
        spacing = (self.config.num_train_timesteps - 1) / (num_inference_steps - 1)
        schedule = (np.arange(num_inference_steps) * spacing).round()[::-1].astype(np.int64)
        self.timesteps = placed(self, schedule, device)

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        prev_timestep: Timestep | None = None,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> UnCLIPSchedulerOutput | tuple[Tensor, ...]:
        """Return a sample at timestep `prev_timestep`.

        Args:
            model_output: the prediction of the network for `sample`; same shape, or twice the
                channels if it predicts the variance as well.
            timestep: the timestep of `sample`.
            sample: the noisy sample.
            prev_timestep: the timestep to step to, the next one of the schedule; -1 for the clean
                sample. By default `timestep - 1`.
            generator: the source of noise, which is not drawn at timestep 0.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.

        Raises:
            SchedulerError: if `prev_timestep` is not below `timestep`.
        """
        self._check_step(model_output, timestep, sample)
        now = self._whole(timestep)
        before = now - 1
        if prev_timestep is not None:
            check_number(self, "prev_timestep", prev_timestep, Range(-MOST_STEPS, MOST_STEPS))
            before = int(prev_timestep)
        if before >= now:
            raise SchedulerError(
                f"UnCLIPScheduler can't step from timestep {now} to {before}, which is not below "
                "it; pass the next of its `timesteps` as prev_timestep"
            )
        if before == now - 1:
            # With a small beta, the quotient below would lose most of its digits.
            alpha, beta = scalar(self.alphas[now]), scalar(self.betas[now])
        else:
            beta = 1 - self._alpha_bar(now) / self._alpha_bar(before)
            alpha = 1 - beta
        previous, original = self._posterior_step(
            model_output, sample, now, before=before, alpha=alpha, beta=beta, generator=generator
        )
        return UnCLIPSchedulerOutput(previous, original) if return_dict else (previous, original)
