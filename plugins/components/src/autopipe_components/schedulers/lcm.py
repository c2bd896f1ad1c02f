"""LCM (Luo et al. 2023, "Latent Consistency Models", arXiv:2310.04378, algorithm 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Generator, Tensor

from autopipe.config import register_to_config

from ..noise import randn_tensor
from .distilled import DistilledScheduler
from .output import SchedulerOutput
from .prediction import predicted_original
from .step_index import Timestep

SIGMA_DATA = 0.5
"""The standard deviation of the data in the boundary condition of a consistency model."""


@dataclass
class LCMSchedulerOutput(SchedulerOutput):
    """`denoised`: the clean sample that the consistency model predicts."""

    denoised: Tensor | None = None


class LCMScheduler(DistilledScheduler):
    """LCM (Luo et al. 2023, arXiv:2310.04378): jumps to the clean sample, then adds noise again."""

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "scaled_linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        original_inference_steps: int = 50,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        timestep_scaling: float = 10.0,
        rescale_betas_zero_snr: bool = False,
    ) -> None:
        self._build_betas()

    def get_scalings_for_boundary_condition_discrete(
        self, timestep: Timestep
    ) -> tuple[float, float]:
        """Return the weights of sample and prediction.

        They make step 0 the identity (appendix B).
        """
        scaled = self._whole(timestep) * self.config.timestep_scaling
        squares = scaled**2 + SIGMA_DATA**2
        return SIGMA_DATA**2 / squares, scaled / squares**0.5

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> LCMSchedulerOutput | tuple[Tensor, ...]:
        """Return the predicted clean sample, noised to the next timestep if there is one.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            generator: the source of noise, which is drawn in every step but the last.
            return_dict: if False, return the tuple `(prev_sample, denoised)`.
        """
        self._steps()
        self._check_step(model_output, timestep, sample)
        index = self._index_of(timestep)
        bar = self._alpha_bar(self._whole(timestep))
        kind, alpha, sigma = self.config.prediction_type, bar**0.5, (1 - bar) ** 0.5
        original = self._bounded(predicted_original(kind, model_output, sample, alpha, sigma))
        skip, out = self.get_scalings_for_boundary_condition_discrete(timestep)
        denoised = previous = out * original + skip * sample
        if index + 1 < len(self.timesteps):
            bar_next = self._alpha_bar(self.timesteps[index + 1])
            noise = randn_tensor(model_output.shape, generator, model_output.device, denoised.dtype)
            previous = bar_next**0.5 * denoised + (1 - bar_next) ** 0.5 * noise
        self._step_index = index + 1
        return LCMSchedulerOutput(previous, denoised) if return_dict else (previous, denoised)
