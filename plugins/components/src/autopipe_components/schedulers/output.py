"""The outputs of `step`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autopipe.outputs import BaseOutput


@dataclass
class SchedulerOutput(BaseOutput):
    """`prev_sample`: the sample at the next, less noisy timestep; same shape as the input."""

    prev_sample: Tensor


@dataclass
class DenoisingOutput(SchedulerOutput):
    """`pred_original_sample`: the clean sample as predicted in this step, for previews."""

    pred_original_sample: Tensor | None = None
