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
    """Jumps below the next timestep, and noises the sample up to it (strategic sampling).

    `clip_sample` and `thresholding` are kept for other schedulers made from this config; TCD
    does neither.
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
        # A call that names original steps means a teacher that visited every timestep.
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
        """The sample at the next timestep.

        Args:
            model_output: what the network predicts for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            eta: how far below the next timestep to jump (gamma in the paper): 0 is
                deterministic, 1 goes to timestep 0 and adds all noise anew.
            generator: where the noise comes from; drawn at all steps but the last.
            return_dict: False gives the tuple `(prev_sample, pred_noised_sample)`.
        """
        self._steps()
        self._check_step(model_output, timestep, sample)
        check_number(self, "eta", eta, Range(0, 1))
        index = self._index_of(timestep)
        is_last = index + 1 >= len(self.timesteps)
        following = 0 if is_last else int(self.timesteps[index + 1])
        # In float32, as networks were distilled: 0.7 * 10 must not land on 6.
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
