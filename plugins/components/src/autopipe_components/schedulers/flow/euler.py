"""Euler's method for flows, with every way to shift their noise levels that is in use.

Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis"
(arXiv:2403.03206).
"""

from __future__ import annotations

from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.wording import shown

from ...noise import randn_tensor
from ..output import SchedulerOutput as FlowMatchEulerDiscreteSchedulerOutput
from .base import ShiftedFlowScheduler

__all__ = ["FlowMatchEulerDiscreteScheduler", "FlowMatchEulerDiscreteSchedulerOutput"]

BETWEEN = 1e-6
"""Levels that differ by less are the same for a token."""


class FlowMatchEulerDiscreteScheduler(ShiftedFlowScheduler):
    """Euler's method along a flow (Esser et al. 2024, arXiv:2403.03206).

    The network predicts the velocity noise - x0, so a step adds it, times the difference of levels.
    With `stochastic_sampling` a step goes to the predicted sample and adds new noise.
    `base_shift`, `max_shift` and the lengths of sequences are for callers, which compute `mu` from
    them.
    """

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        use_dynamic_shifting: bool = False,
        base_shift: float | None = 0.5,
        max_shift: float | None = 1.15,
        base_image_seq_len: int = 256,
        max_image_seq_len: int = 4096,
        invert_sigmas: bool = False,
        shift_terminal: float | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        time_shift_type: str = "exponential",
        stochastic_sampling: bool = False,
    ) -> None:
        self._build_shifted()

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
        generator: Generator | list[Generator] | None = None,
        per_token_timesteps: Tensor | None = None,
        return_dict: bool = True,
    ) -> FlowMatchEulerDiscreteSchedulerOutput | tuple[Tensor]:
        """Return the sample at the next level.

        Args:
            model_output: the predicted velocity; same shape as `sample`.
            timestep: one of `timesteps`.
            sample: the noisy sample; the step is taken in float32.
            s_churn, s_tmin, s_tmax, s_noise: not used, for programs that pass them.
            generator: the source of noise, with `stochastic_sampling`.
            per_token_timesteps: a timestep for each token of samples (B, tokens, C), shape
                (B, tokens). Each token steps to the next lower level of the schedule, against the
                predicted velocity; the result is float32.
            return_dict: if False, return the tuple `(prev_sample,)`.
        """
        index = self._begin(model_output, timestep, sample)
        sample = sample.float()
        now, following = self._level(index), self._level(index + 1)
        change = following - now
        if per_token_timesteps is not None:
            now, following = self._token_levels(per_token_timesteps, sample)
            change = now - following
        if self.config.stochastic_sampling:
            clean = sample - now * model_output
            noise = randn_tensor(sample.shape, generator, sample.device, sample.dtype)
            previous = (1 - following) * clean + following * noise
        else:
            previous = sample + change * model_output
        if per_token_timesteps is None:
            previous = previous.to(model_output.dtype)
        self._step_index = index + 1
        if not return_dict:
            return (previous,)
        return FlowMatchEulerDiscreteSchedulerOutput(previous)

    def _token_levels(self, timesteps: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Return the level of each token and the next lower one, each (B, tokens, 1)."""
        if not isinstance(timesteps, Tensor) or timesteps.shape != sample.shape[:2]:
            raise SchedulerError(
                f"{type(self).__name__} takes as per_token_timesteps a tensor of shape "
                f"{tuple(sample.shape[:2])}, one for each token, not {shown(timesteps)}"
            )
        levels = (timesteps.to(sample) / self.config.num_train_timesteps)[..., None]
        schedule = self.sigmas.to(sample).reshape(-1, 1, 1, 1)
        below: Tensor = (schedule * (schedule < levels - BETWEEN)).amax(dim=0)
        return levels, below
