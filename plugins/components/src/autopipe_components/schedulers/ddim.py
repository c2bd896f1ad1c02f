"""DDIM (Song et al. 2020, "Denoising Diffusion Implicit Models", arXiv:2010.02502)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.values import Range

from ..noise import randn_tensor
from .base import DiscreteScheduler
from .inputs import check_number, placed
from .output import DenoisingOutput as DDIMSchedulerOutput
from .prediction import Real, predicted_noise, predicted_original
from .step_index import Timestep

__all__ = ["DDIMScheduler", "DDIMSchedulerOutput"]


class DDIMStep(DiscreteScheduler):
    """A scheduler whose step needs the clean sample and the noise in a sample."""

    def _split(
        self, model_output: Tensor, sample: Tensor, bar: Real, *, clipped: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the clean sample, bounded, and the noise that an output represents.

        Args:
            model_output: the prediction of the network for `sample`.
            sample: the noisy sample.
            bar: alpha_bar of `sample`, a number or a tensor that multiplies it.
            clipped: whether the noise is derived from the bounded clean sample.
        """
        kind, alpha, sigma = self.config.prediction_type, bar**0.5, (1 - bar) ** 0.5
        original = self._bounded(predicted_original(kind, model_output, sample, alpha, sigma))
        if clipped:
            return original, (sample - alpha * original) / sigma
        return original, predicted_noise(kind, model_output, sample, alpha, sigma)


class DDIMScheduler(DDIMStep):
    """DDIM (Song et al. 2020, arXiv:2010.02502).

    It steps straight towards the predicted clean sample; with `eta` > 0 it steps further and adds
    noise. `eta` = 0 is deterministic; `eta` = 1 has the variance of DDPM (equation 12).
    """

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
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        rescale_betas_zero_snr: bool = False,
    ) -> None:
        self._build_betas()

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        self.timesteps = placed(self, self._spaced(num_inference_steps), device)
        self.num_inference_steps = num_inference_steps

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        generator: Generator | list[Generator] | None = None,
        variance_noise: Tensor | None = None,
        return_dict: bool = True,
    ) -> DDIMSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample after one step, at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: the timestep of `sample`.
            sample: the noisy sample.
            eta: the fraction of the noise of DDPM that is added, in [0, 1].
            use_clipped_model_output: derive the noise from the clipped clean sample.
            generator: the source of that noise.
            variance_noise: the noise itself, instead of a generator.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, `eta` is out of range, or both
                `generator` and `variance_noise` are given.
        """
        self._check_step(model_output, timestep, sample)
        check_number(self, "eta", eta, Range(0, 1))
        if eta > 0 and variance_noise is not None and generator is not None:
            raise SchedulerError("pass generator or variance_noise, not both")
        now = self._whole(timestep)
        before = now - self.config.num_train_timesteps // self._steps()
        bar, bar_before = self._alpha_bar(now), self._alpha_bar(before)
        original, noise = self._split(model_output, sample, bar, clipped=use_clipped_model_output)

        variance = eta**2 * (1 - bar_before) / (1 - bar) * (1 - bar / bar_before)
        # At zero SNR and eta = 1 the terms under the root cancel, except for rounding errors.
        direction = max(1 - bar_before - variance, np.float32(0)) ** 0.5
        previous = bar_before**0.5 * original + direction * noise
        if eta > 0:
            if variance_noise is None:
                variance_noise = randn_tensor(
                    model_output.shape, generator, model_output.device, model_output.dtype
                )
            previous = previous + variance**0.5 * variance_noise
        return DDIMSchedulerOutput(previous, original) if return_dict else (previous, original)
