"""VQ-Diffusion (Gu et al. 2022, "Vector Quantized Diffusion Model for Text-to-Image Synthesis",
arXiv:2111.14822).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.outputs import BaseOutput
from autopipe.scheduling import SchedulerMixin
from autopipe.wording import shown

from ..noise import sources
from .inputs import check_timestep, placed
from .options import LIMITS, check_count
from .step_index import Timestep

TINY = 1e-30
"""Keeps logarithms finite."""


@dataclass
class VQDiffusionSchedulerOutput(BaseOutput):
    """`prev_sample`: the classes at the next, less noisy timestep, (B, pixels), int64."""

    prev_sample: Tensor


class VQDiffusionScheduler(SchedulerMixin):
    """Diffusion of classes by mask and replace (Gu et al. 2022, arXiv:2111.14822, section 4.1).

    At each timestep a class stays with probability alpha + beta, becomes one of the others with
    beta each, and is masked with gamma; the mask is the last of `num_vec_classes` classes. The
    cumulative probabilities go linearly from their start to their end.
    """

    config_limits = LIMITS
    has_compatibles = False
    num_inference_steps: int | None = None

    @register_to_config
    def __init__(
        self,
        num_vec_classes: int,
        num_train_timesteps: int = 100,
        alpha_cum_start: float = 0.99999,
        alpha_cum_end: float = 0.000009,
        gamma_cum_start: float = 0.000009,
        gamma_cum_end: float = 0.99999,
    ) -> None:
        self.num_embed = num_vec_classes
        self.mask_class = num_vec_classes - 1
        kept = np.append(1, np.linspace(alpha_cum_start, alpha_cum_end, num_train_timesteps))
        masked = np.append(0, np.linspace(gamma_cum_start, gamma_cum_end, num_train_timesteps))
        with np.errstate(divide="ignore", invalid="ignore"):
            a, c = kept[1:] / kept[:-1], 1 - (1 - masked[1:]) / (1 - masked[:-1])
            b = (1 - a - c) / self.mask_class
            replaced = (1 - kept - masked) / self.mask_class
            self.log_at, self.log_bt, self.log_ct = map(_logs, (a, b, c))
            # Before the first timestep, which is at the end, nothing is replaced.
            self.log_cumprod_at, self.log_cumprod_bt, self.log_cumprod_ct = (
                _logs(np.append(one[1:], one[0])) for one in (kept, replaced, masked)
            )
        logs = (self.log_at, self.log_bt, self.log_ct, self.log_cumprod_bt)
        if any(bool(one.isnan().any()) for one in logs):
            raise SchedulerError(
                f"{type(self).__name__} has alpha_cum from {alpha_cum_start:g} to "
                f"{alpha_cum_end:g} and gamma_cum from {gamma_cum_start:g} to {gamma_cum_end:g}; "
                "alpha_cum must fall, gamma_cum rise, and their sum be at most 1"
            )
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set the schedule to the last `num_inference_steps` of training, with all on `device`.

        Raises:
            SchedulerError: if there are fewer training timesteps.
        """
        check_count(self, "num_inference_steps", num_inference_steps)
        if num_inference_steps > self.config.num_train_timesteps:
            raise SchedulerError(
                f"{type(self).__name__} can't take {num_inference_steps} steps: the network was "
                f"trained on {self.config.num_train_timesteps} timesteps"
            )
        schedule = torch.arange(num_inference_steps - 1, -1, -1)
        self.timesteps = placed(self, schedule, device)
        self.num_inference_steps = num_inference_steps

    def scale_model_input(self, sample: Tensor, timestep: Timestep | None = None) -> Tensor:
        """Return `sample`: classes are not scaled."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> VQDiffusionSchedulerOutput | tuple[Tensor]:
        """Return the classes at the next timestep, drawn from their posterior.

        Args:
            model_output: the log probabilities of the clean classes without the mask,
                (B, `num_vec_classes` - 1, pixels).
            timestep: the timestep of `sample`.
            sample: the noisy classes, (B, pixels), int64.
            generator: the source of randomness.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        now = self._whole(timestep)
        self._check(model_output, sample)
        logits = model_output if now == 0 else self.q_posterior(model_output, sample, now)
        previous = (logits + self._gumbel(logits, generator)).argmax(dim=1)
        return VQDiffusionSchedulerOutput(previous) if return_dict else (previous,)

    def q_posterior(self, log_p_x_0: Tensor, x_t: Tensor, t: Timestep) -> Tensor:
        """Return log p(x_{t-1} | x_t), (B, `num_vec_classes`, pixels) (equation 8).

        Args:
            log_p_x_0: the log probabilities of the clean classes, as in `step`.
            x_t: the noisy classes at timestep `t`, (B, pixels).
            t: a timestep from 1.
        """
        now = self._whole(t)
        self._check(log_p_x_0, x_t)
        if now == 0:
            raise SchedulerError(f"{type(self).__name__} has no posterior at timestep 0")
        known = F.one_hot(x_t, self.num_embed).mT.float().clamp(min=TINY).log()
        q = log_p_x_0 - self._to_known(known, x_t, self._cumulative(now))
        total = q.logsumexp(dim=1, keepdim=True)
        a, b, c = self._cumulative(now - 1)
        q = torch.logaddexp(q - total + a, b)
        q = torch.cat([q, c.expand(q.shape[0], 1, q.shape[2])], dim=1)
        one = tuple(log[now].to(x_t.device) for log in (self.log_at, self.log_bt, self.log_ct))
        step = torch.cat([self._to_known(known, x_t, one), known[:, -1:]], dim=1)
        return q + step + total

    def _cumulative(self, t: int) -> tuple[Tensor, ...]:
        logs = (self.log_cumprod_at, self.log_cumprod_bt, self.log_cumprod_ct)
        return tuple(log[t].to(self.timesteps.device) for log in logs)

    def _to_known(self, known: Tensor, x_t: Tensor, logs: tuple[Tensor, ...]) -> Tensor:
        """Return the log probability of `x_t` from each class but the mask."""
        a, b, c = logs
        reached = torch.logaddexp(known[:, :-1] + a, b)
        return torch.where((x_t == self.mask_class)[:, None], c, reached)

    def _gumbel(self, logits: Tensor, generator: object) -> Tensor:
        """Return Gumbel noise like `logits`; a list of generators gives each sample its own."""
        given = sources(generator, len(logits))
        shapes = [(len(logits) // len(given), *logits.shape[1:])] * len(given)
        draw: Callable[..., Tensor] = torch.rand
        uniform = torch.cat(
            [
                draw(shape, generator=one, device=logits.device if one is None else one.device)
                for shape, one in zip(shapes, given)
            ]
        ).to(logits.device)
        return -torch.log(-torch.log(uniform + TINY) + TINY)

    def _whole(self, timestep: Timestep) -> int:
        check_timestep(self, timestep)
        value = float(timestep)
        if not 0 <= value < self.config.num_train_timesteps:
            raise SchedulerError(
                f"{type(self).__name__} has the timesteps 0 to "
                f"{self.config.num_train_timesteps - 1}, not {value:g}"
            )
        return int(value)

    def _check(self, output: Tensor, sample: Tensor) -> None:
        """Raise `SchedulerError` unless `output` are log probabilities for the classes `sample`."""
        if not isinstance(sample, Tensor) or sample.dtype != torch.int64 or sample.ndim != 2:
            raise SchedulerError(
                f"{type(self).__name__} takes classes (B, pixels) of int64, not {shown(sample)}"
            )
        if not bool(((sample >= 0) & (sample < self.num_embed)).all()):
            raise SchedulerError(
                f"{type(self).__name__} has the classes 0 to {self.mask_class}, not "
                f"{int(sample.min())} to {int(sample.max())}"
            )
        shape = (len(sample), self.mask_class, sample.shape[1])
        if (
            not isinstance(output, Tensor)
            or not output.is_floating_point()
            or output.shape != shape
        ):
            raise SchedulerError(
                f"{type(self).__name__} takes log probabilities of the shape {shape}, not "
                f"{tuple(getattr(output, 'shape', ()))}"
            )


def _logs(probabilities: np.ndarray) -> Tensor:
    return torch.from_numpy(np.log(probabilities)).float()
