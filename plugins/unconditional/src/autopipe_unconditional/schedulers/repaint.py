"""RePaint (Lugmayr et al. 2022): denoises the unknown part of pictures, back and forth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.scheduling import SchedulerMixin
from autopipe.values import Range
from autopipe_components.noise import randn_tensor
from autopipe_components.schedulers.betas import BETA_SCHEDULES, trained
from autopipe_components.schedulers.inputs import (
    check_number,
    check_prediction,
    check_timestep,
    placed,
)
from autopipe_components.schedulers.options import LIMITS, MOST_STEPS, check_choice, check_count
from autopipe_components.schedulers.output import DenoisingOutput as RePaintSchedulerOutput
from autopipe_components.schedulers.prediction import (
    PREDICTION_TYPES,
    Real,
    predicted_noise,
    predicted_original,
    scalar,
)
from autopipe_components.schedulers.step_index import Timestep
from autopipe_components.steps.codec import Generators

__all__ = ["RePaintScheduler", "RePaintSchedulerOutput"]

_ETA = Range(0, 1)


class RePaintScheduler(SchedulerMixin):
    """RePaint (Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1), with the steps of DDIM.

    At each step the known part of a picture is replaced by the picture with the noise of that step.
    Now and then the sample goes some steps back, so that both parts come to fit. Networks predict
    the noise, unless the config that this one was made from has another `prediction_type`. `eta` is
    that of DDIM.
    """

    # Steps need a picture to repaint, so that it draws in no other pipeline.
    listed = False
    config_limits = {**LIMITS, "eta": _ETA}  # noqa: RUF012

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        eta: float = 0.0,
        trained_betas: np.ndarray | Sequence[float] | None = None,
        clip_sample: bool = True,
    ) -> None:
        if trained_betas is not None:
            self.betas = trained(self, trained_betas)
        else:
            check_choice(self, "beta_schedule", beta_schedule, BETA_SCHEDULES)
            self.betas = BETA_SCHEDULES[beta_schedule](num_train_timesteps, beta_start, beta_end)
        self.alphas_cumprod = (1.0 - self.betas).cumprod(dim=0)
        self.eta = eta
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)

    def scale_model_input(self, sample: Tensor, timestep: Timestep | None = None) -> Tensor:
        """Return the input of the network: `sample`, unchanged."""
        return sample

    def set_timesteps(
        self,
        num_inference_steps: int,
        jump_length: int = 10,
        jump_n_sample: int = 10,
        device: str | torch.device | None = None,
    ) -> None:
        """Set a schedule of `num_inference_steps` levels of noise, with jumps back.

        Args:
            num_inference_steps: at most the timesteps of the training are used.
            jump_length: how many levels a jump goes back.
            jump_n_sample: how many times the levels between two jumps are walked.
            device: where `timesteps` are.

        Raises:
            SchedulerError: if the schedule has more than 131,072 timesteps.
        """
        for name, value in (
            ("num_inference_steps", num_inference_steps),
            ("jump_length", jump_length),
            ("jump_n_sample", jump_n_sample),
        ):
            check_count(self, name, value)
        check_choice(self, "prediction_type", self._predicts, PREDICTION_TYPES)
        count = min(self.config.num_train_timesteps, num_inference_steps)
        if 2 * count * jump_n_sample > MOST_STEPS:
            raise SchedulerError(
                f"{type(self).__name__} would take about {2 * count * jump_n_sample} timesteps, "
                f"and {MOST_STEPS} are the limit; reduce num_inference_steps or jump_n_sample"
            )
        left = dict.fromkeys(range(0, count - jump_length, jump_length), jump_n_sample - 1)
        walked, level = [], count
        while level > 0:
            level -= 1
            walked.append(level)
            if left.get(level):
                left[level] -= 1
                walked += range(level + 1, level + jump_length + 1)
                level += jump_length
        self.num_inference_steps = count
        self.timesteps = placed(self, np.array(walked) * self._stride(), device)

    @property
    def _predicts(self) -> str:
        """What the network predicts."""
        return str(self.config.get("prediction_type", "epsilon"))

    def _stride(self) -> int:
        """Return the number of training timesteps per level."""
        if self.num_inference_steps is None:
            raise SchedulerError(f"{type(self).__name__} needs set_timesteps to be called first")
        return int(self.config.num_train_timesteps) // self.num_inference_steps

    def _index(self, timestep: Timestep) -> int:
        """Return `timestep` as a whole number; raise SchedulerError if there is no such one."""
        check_timestep(self, timestep)
        index, last = int(timestep), len(self.alphas_cumprod) - 1
        if not 0 <= index <= last:
            raise SchedulerError(
                f"{type(self).__name__} has the timesteps 0 to {last}, not {index}; pass one of "
                "its `timesteps`"
            )
        return index

    def _bar(self, index: int) -> Real:
        """Return alpha_bar at a timestep; below the first one, that of the clean sample."""
        return scalar(self.alphas_cumprod[index]) if index >= 0 else np.float32(1)

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        original_image: Tensor,
        mask: Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> RePaintSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample after one step of both parts, at the next level of noise.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: the timestep of `sample`.
            sample: the noisy sample.
            original_image: the picture, (B, C, H, W) in [-1, 1].
            mask: (B, 1, H, W), 1 where the picture is known.
            generator: the source of noise, the same for both parts.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        check_prediction(self, model_output, sample, learned=False)
        check_number(self, "eta", self.eta, _ETA)
        now = self._index(timestep)
        bar, bar_before = self._bar(now), self._bar(now - self._stride())
        alpha, sigma = bar**0.5, (1 - bar) ** 0.5
        original = predicted_original(self._predicts, model_output, sample, alpha, sigma)
        predicted = predicted_noise(self._predicts, model_output, sample, alpha, sigma)
        if self.config.clip_sample:
            original = original.clamp(-1, 1)
        noise = randn_tensor(model_output.shape, generator, model_output.device, model_output.dtype)
        variance = self.eta**2 * (1 - bar_before) / (1 - bar) * (1 - bar / bar_before)
        direction = max(1 - bar_before - variance, np.float32(0)) ** 0.5
        unknown = bar_before**0.5 * original + direction * predicted
        if now > 0 and self.eta > 0:
            unknown = unknown + variance**0.5 * noise
        known = bar_before**0.5 * original_image + (1 - bar_before) ** 0.5 * noise
        previous = mask * known + (1.0 - mask) * unknown
        return RePaintSchedulerOutput(previous, original) if return_dict else (previous, original)

    def undo_step(self, sample: Tensor, timestep: Timestep, generator: Generators = None) -> Tensor:
        """Return `sample` with the noise that the timesteps from `timestep` to the next level add.

        Args:
            sample: what the step at `timestep` returned, or undoing the level below.
            generator: the source of noise; each timestep of the training is noised by itself.
        """
        begin = self._index(timestep)
        for beta in self.betas[begin : begin + self._stride()].to(sample):
            noise = randn_tensor(sample.shape, generator, sample.device, sample.dtype)
            sample = (1 - beta) ** 0.5 * sample + beta**0.5 * noise
        return sample

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Raise `SchedulerError`: networks for this scheduler are trained with another one."""
        raise SchedulerError(
            f"{type(self).__name__} has no forward process; train with DDPMScheduler, and make "
            f"this one of its config"
        )
