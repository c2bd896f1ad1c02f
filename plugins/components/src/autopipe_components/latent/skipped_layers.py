"""Guidance away from a prediction for which the network skips layers.

It is a form of "Guiding a Diffusion Model with a Bad Version of Itself" (Karras et al., 2024,
arXiv:2406.02507), in which the bad version lacks some layers in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.loop import Tensors
from autopipe.wording import shown

from ..guided import Predict
from ..steps.checks import check_number, check_whole
from ..steps.guidance import Contrast
from ..steps.timesteps import Schedule
from .steps import LatentPipeline

_Result = TypeVar("_Result")


class SkipsLayers(LatentPipeline[_Result]):
    """Calls take `skip_guidance_layers`, and networks `skip_layers`: the numbers of layers from 0.

    In the steps after the part `skip_layer_guidance_start` of all steps, and before the part
    `skip_layer_guidance_stop`, the network also predicts without these layers, and guidance leads
    away from that by `skip_layer_guidance_scale`. The config of the network has `num_layers`. The
    class precedes that of the family among the bases.
    """

    _skip_layer_guidance_scale: float = 2.8
    _steps: int = 0

    @property
    def skip_guidance_layers(self) -> Sequence[int] | None:
        """The layers that the further prediction of this call skips."""
        layers: Sequence[int] | None = self.call.skip_guidance_layers
        return layers

    def check_conditioning(self) -> None:
        super().check_conditioning()
        call, count = self.call, self.denoiser.config.num_layers
        for name in ("scale", "stop", "start"):
            check_number(f"skip_layer_guidance_{name}", call[f"skip_layer_guidance_{name}"])
        self._skip_layer_guidance_scale = call.skip_layer_guidance_scale
        layers = call.skip_guidance_layers
        if layers is None:
            return
        if not isinstance(layers, (list, tuple)):
            raise ArgumentTypeError(
                f"skip_guidance_layers is {shown(layers)}; give a list of the numbers of layers"
            )
        for one in layers:
            check_whole("an entry of skip_guidance_layers", one)
            if not 0 <= one < count:
                raise ArgumentError(
                    f"skip_guidance_layers names the layer {shown(one)}; the network has the "
                    f"layers 0 to {count - 1}"
                )

    def make_schedule(self) -> Schedule:
        schedule = super().make_schedule()
        self._steps = schedule.steps
        return schedule

    def make_predictor(
        self, tensors: Tensors, extra_channels: Callable[[], Sequence[Tensor]] = tuple
    ) -> Predict:
        predict = super().make_predictor(tensors, extra_channels)
        if self.skip_guidance_layers is None:
            return predict
        first = self.call.skip_layer_guidance_start * self._steps
        last = self.call.skip_layer_guidance_stop * self._steps
        others = self.contrast

        def contrasting(step: int, timestep: Tensor) -> Tensor:
            skips = first < step < last and self.predicts_both_halves
            self.contrast = Contrast(self._skip_layer_guidance_scale) if skips else others
            return predict(step, timestep)

        return contrasting

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        contrast, run = self.contrast, super().run_denoiser
        rows = 0 if contrast is None or self.skip_guidance_layers is None else contrast.rows
        if not rows:
            return run(sample, timestep, guidance, inputs)
        whole = len(sample) - rows
        made = []
        for part, further in (
            (slice(whole), {}),
            (slice(whole, None), {"skip_layers": self.skip_guidance_layers}),
        ):
            if len(sample[part]):
                rest = {name: one[part] for name, one in inputs.items()}
                made.append(run(sample[part], timestep, guidance, {**rest, **further}))
        return torch.cat(made)
