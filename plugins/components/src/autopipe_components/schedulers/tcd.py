"""TCD (Zheng et al. 2024, "Trajectory Consistency Distillation", arXiv:2402.19159, algorithm 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.values import Range

from ..noise import randn_tensor
from .distilled import DistilledScheduler
from .inputs import check_number
from .output import SchedulerOutput
from .prediction import predicted_noise, predicted_original
from .step_index import Timestep


@dataclass
class TCDSchedulerOutput(SchedulerOutput):
    """`pred_noised_sample`: the sample at the intermediate timestep, before noise is added."""

    pred_noised_sample: Tensor | None = None


class TCDScheduler(DistilledScheduler):
    """TCD (Zheng et al. 2024, arXiv:2402.19159), with strategic stochastic sampling.

    It jumps below the next timestep, then adds noise to reach it. `clip_sample` and `thresholding`
    have no effect; they are for other schedulers that are created from this config.
    """

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

    def _teacher(self, original_steps: int | None, strength: float) -> np.ndarray:
        # Original steps that the caller gives refer to a teacher that uses all training timesteps.
        if original_steps is None:
            return super()._teacher(None, strength)
        return np.arange(int(self.config.num_train_timesteps * strength))

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        eta: float = 0.3,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> TCDSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            eta: how far to jump below the next timestep (gamma in the paper): 0 is deterministic,
                1 jumps to timestep 0.
            generator: the source of noise, which is drawn in every step but the last.
            return_dict: if False, return the tuple `(prev_sample, pred_noised_sample)`.
        """
        self._steps()
        self._check_step(model_output, timestep, sample)
        check_number(self, "eta", eta, Range(0, 1))
        index = self._index_of(timestep)
        is_last = index + 1 >= len(self.timesteps)
        following = 0 if is_last else int(self.timesteps[index + 1])
        # In float32, as in the distillation: 0.7 * 10 must not be rounded down to 6.
        below = int(np.floor(np.float32(1 - eta) * np.float32(following)))
        bar, bar_below = self._alpha_bar(self._whole(timestep)), self._alpha_bar(below)

        kind, alpha, sigma = self.config.prediction_type, bar**0.5, (1 - bar) ** 0.5
        original = predicted_original(kind, model_output, sample, alpha, sigma)
        noise = predicted_noise(kind, model_output, sample, alpha, sigma)
        noised = previous = bar_below**0.5 * original + (1 - bar_below) ** 0.5 * noise
        if eta > 0 and not is_last:
            ratio = self._alpha_bar(following) / bar_below
            fresh = randn_tensor(model_output.shape, generator, model_output.device, noised.dtype)
            previous = ratio**0.5 * noised + (1 - ratio) ** 0.5 * fresh
        self._step_index = index + 1
        return TCDSchedulerOutput(previous, noised) if return_dict else (previous, noised)
