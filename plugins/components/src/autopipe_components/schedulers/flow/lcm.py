"""Consistency sampling of flows (Luo et al. 2023, arXiv:2310.04378; Starodubcev et al. 2025,
"Scale-wise Distillation of Diffusion Models", arXiv:2503.16397).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.wording import shown

from ...noise import randn_tensor
from ..inputs import check_number
from ..options import check_choice
from ..output import SchedulerOutput as FlowMatchLCMSchedulerOutput
from .base import ShiftedFlowScheduler

__all__ = ["FlowMatchLCMScheduler", "FlowMatchLCMSchedulerOutput"]

_AXES = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}
"""The number of axes of samples that a filter resizes; the others resize any."""

UPSCALE_MODES = ("nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact")


class FlowMatchLCMScheduler(ShiftedFlowScheduler):
    """Jumps to the predicted sample, then adds noise again, along a flow.

    With `scale_factors` the predicted sample of each step but the last is resized to that multiple
    of the first sample's size, so that a distilled network draws from small to large.
    """

    _size: tuple[int, ...] | None = None
    """The size of the first sample of a run."""

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        use_dynamic_shifting: bool = False,
        base_shift: float = 0.5,
        max_shift: float = 1.15,
        base_image_seq_len: int = 256,
        max_image_seq_len: int = 4096,
        invert_sigmas: bool = False,
        shift_terminal: float | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        time_shift_type: str = "exponential",
        scale_factors: list[float] | None = None,
        upscale_mode: str | None = "bicubic",
    ) -> None:
        self._build_shifted()
        self.set_scale_factors(scale_factors, upscale_mode)

    def set_scale_factors(
        self, scale_factors: Sequence[float] | None, upscale_mode: str | None
    ) -> None:
        """Set the sizes after each step but the last, relative to the first, and the filter.

        With None for one of them nothing is resized.
        """
        check_choice(self, "upscale_mode", upscale_mode, (*UPSCALE_MODES, None))
        if not isinstance(scale_factors, (list, tuple, type(None))):
            raise SchedulerError(
                f"{type(self).__name__} takes a list of numbers as scale_factors, not "
                f"{shown(scale_factors)}"
            )
        limits = self.config_limits["scale_factors"]
        factors = [check_number(self, "scale_factors", one, limits) for one in scale_factors or ()]
        self._scale_factors = factors if upscale_mode else []
        self._upscale_mode = upscale_mode

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> FlowMatchLCMSchedulerOutput | tuple[Tensor]:
        """Return the predicted sample, noised to the next level.

        Args:
            model_output: the predicted velocity; same shape as `sample`.
            timestep: one of `timesteps`.
            sample: the noisy sample; the step is taken in float32.
            generator: the source of noise, which is drawn in every step.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if the schedule doesn't have one step more than `scale_factors`.
        """
        starts = self._step_index is None
        index = self._begin(model_output, timestep, sample)
        factors = self._scale_factors
        if factors and len(self.timesteps) != len(factors) + 1:
            raise SchedulerError(
                f"{type(self).__name__} has {len(factors)} scale_factors for a schedule of "
                f"{len(self.timesteps)} steps; take {len(factors) + 1} steps"
            )
        if starts or self._size is None:
            self._size = tuple(model_output.shape[2:])
        clean = sample.float() - self._level(index) * model_output
        if index < len(factors):
            clean = self._resized(clean, [max(1, round(factors[index] * n)) for n in self._size])
        noise = randn_tensor(clean.shape, generator, clean.device, clean.dtype)
        following = self._level(index + 1)
        previous = ((1 - following) * clean + following * noise).to(model_output.dtype)
        self._step_index = index + 1
        return FlowMatchLCMSchedulerOutput(previous) if return_dict else (previous,)

    def _resized(self, sample: Tensor, size: list[int]) -> Tensor:
        """Return `sample` at another size.

        Raises:
            SchedulerError: if the filter doesn't resize samples of so many axes.
        """
        mode = self._upscale_mode or "nearest"
        if _AXES.get(mode, sample.ndim) != sample.ndim:
            raise SchedulerError(
                f"{type(self).__name__} can't resize samples of {sample.ndim} axes with "
                f"upscale_mode={mode!r}, which takes {_AXES[mode]}; choose another one"
            )
        return F.interpolate(sample, size=size, mode=mode)
