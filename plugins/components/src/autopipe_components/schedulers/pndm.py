"""PNDM (Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models", arXiv:2202.09778)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError

from .base import DiscreteScheduler
from .inputs import placed
from .output import SchedulerOutput
from .prediction import predicted_noise
from .step_index import Timestep

RUNGE_KUTTA = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
"""Weights of the four evaluations of a Runge-Kutta step (equation 13)."""

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Weights of the last one to four evaluations, newest first, in a multistep (equation 12)."""


class PNDMScheduler(DiscreteScheduler):
    """PNDM (Liu et al. 2022, arXiv:2202.09778): three Runge-Kutta steps, then linear multistep.

    With `skip_prk_steps`, as in Stable Diffusion, there are no Runge-Kutta steps (PLMS), and the
    second timestep is evaluated twice.
    """

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        skip_prk_steps: bool = False,
        set_alpha_to_one: bool = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "leading",
        steps_offset: int = 0,
    ) -> None:
        self._build_betas()
        self.pndm_order = 4
        self.prk_timesteps = np.array([], dtype=np.int64)
        self.plms_timesteps = np.array([], dtype=np.int64)
        self._restart()

    def _restart(self) -> None:
        self.ets: list[Tensor] = []
        self.counter = 0
        self.cur_model_output: Tensor | float = 0.0
        self.cur_sample: Tensor | None = None

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`.

        There are more `timesteps` than steps.
        """
        spaced = self._spaced(num_inference_steps)
        self.num_inference_steps = num_inference_steps
        if self.config.skip_prk_steps:
            self.prk_timesteps = spaced[:0]
            self.plms_timesteps = np.concatenate([spaced[:1], spaced[1:2], spaced[1:]])
        else:
            # Each Runge-Kutta step evaluates its start, its middle twice, and its end.
            half = self._stride() // 2
            start, end = spaced[:3], spaced[1:4]
            if len(end) < 3:
                raise SchedulerError(
                    f"PNDM needs at least four steps, not {num_inference_steps}, unless "
                    "skip_prk_steps=True"
                )
            self.prk_timesteps = np.stack([start, end + half, end + half, end], axis=1).flatten()
            self.plms_timesteps = spaced[3:]
        schedule = np.concatenate([self.prk_timesteps, self.plms_timesteps])
        self.timesteps = placed(self, schedule, device)
        self._restart()

    def _stride(self) -> int:
        """Return the number of training timesteps per step."""
        return int(self.config.num_train_timesteps) // self._steps()

    def step(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> SchedulerOutput | tuple[Tensor, ...]:
        """Return the next sample: first by Runge-Kutta evaluations, then by linear multistep.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: the timestep of `sample`.
            sample: the noisy sample.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        warming_up = self.counter < len(self.prk_timesteps) and not self.config.skip_prk_steps
        advance = self.step_prk if warming_up else self.step_plms
        return advance(model_output, timestep, sample, return_dict)

    def step_prk(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> SchedulerOutput | tuple[Tensor, ...]:
        """Make one of the four evaluations of a Runge-Kutta step, with the arguments of `step`.

        Raises:
            SchedulerError: if all Runge-Kutta evaluations have been made.
        """
        self._steps()
        self._check_step(model_output, timestep, sample)
        if self.counter >= len(self.prk_timesteps):
            raise SchedulerError(
                f"PNDMScheduler has taken its {len(self.prk_timesteps)} Runge-Kutta evaluations; "
                "continue with step_plms"
            )
        stage = self.counter % 4
        before = self._whole(timestep) - (0 if stage % 2 else self._stride() // 2)
        begin = int(self.prk_timesteps[self.counter - stage])
        weighted = self.cur_model_output + RUNGE_KUTTA[stage] * model_output
        if stage == 0:
            self.ets.append(model_output)
            self.cur_sample = sample
        self.cur_model_output = weighted if stage < 3 else 0.0
        start = sample if self.cur_sample is None else self.cur_sample
        self.counter += 1
        output = model_output if stage < 3 else weighted
        return _output(self._transfer(start, begin, before, output), return_dict)

    def step_plms(
        self, model_output: Tensor, timestep: Timestep, sample: Tensor, return_dict: bool = True
    ) -> SchedulerOutput | tuple[Tensor, ...]:
        """Take one step of linear multistep, with the arguments of `step`.

        Raises:
            SchedulerError: if Runge-Kutta evaluations remain to be made.
        """
        if not self.config.skip_prk_steps and len(self.ets) < 3:
            raise SchedulerError(
                "PNDM needs its 12 Runge-Kutta evaluations first; call step or step_prk"
            )
        self._check_step(model_output, timestep, sample)
        now = self._whole(timestep)
        before = now - self._stride()
        if self.counter == 1 and self.cur_sample is not None:
            # The second evaluation in the first interval: its slope is the mean of both ends.
            before, now = now, now + self._stride()
            model_output, sample = (model_output + self.ets[-1]) / 2, self.cur_sample
            self.cur_sample = None
        else:
            if self.counter == 0:
                self.cur_sample = sample
            self.ets = [*self.ets[-3:], model_output]
            weights = ADAMS_BASHFORTH[len(self.ets) - 1]
            model_output = sum(w * e for w, e in zip(weights, reversed(self.ets)))  # type: ignore[assignment]
        self.counter += 1
        return _output(self._transfer(sample, now, before, model_output), return_dict)

    def _transfer(self, sample: Tensor, now: int, before: int, output: Tensor) -> Tensor:
        """Move `sample` from timestep `now` to `before` along one noise direction (equation 9)."""
        bar, bar_before = self._alpha_bar(now), self._alpha_bar(before)
        noise = predicted_noise(
            self.config.prediction_type, output, sample, bar**0.5, (1 - bar) ** 0.5
        )
        denominator = bar * (1 - bar_before) ** 0.5 + (bar * (1 - bar) * bar_before) ** 0.5
        amount = (bar_before - bar) / denominator
        moved: Tensor = (bar_before / bar) ** 0.5 * sample - amount * noise
        return moved


def _output(previous: Tensor, return_dict: bool) -> SchedulerOutput | tuple[Tensor, ...]:
    return SchedulerOutput(previous) if return_dict else (previous,)
