"""Perturbed-attention guidance as an add-on (Ahn et al. 2024, arXiv:2403.17377).

In each step the network also predicts while some of its self-attention is replaced by the identity,
so that this prediction lacks structure. The result is led away from it. It works with and without
classifier-free guidance.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from autopipe.attaching.attachment import Attachment, Predict
from autopipe.attaching.network_view import Answer
from autopipe.errors import ArgumentError
from autopipe.pipeline.values import number
from autopipe.wording import shown
from autopipe_components.guided import GuidedPipeline
from autopipe_components.steps.guidance import Contrast

from .inputs import PAG_ADAPTIVE_SCALE, PAG_SCALE
from .layers import Perturbed, checked_layers, self_attention

_DENOISER = "unet"


class PerturbedAttention(Attachment):
    """Leads each step away from a prediction with degraded self-attention.

    The strength of the attachment multiplies the scale.

    Args:
        layers: the layers to degrade: a regular expression for a part of their path in the network,
            or a list of them.
        scale: how far to lead away; 0 turns it off.
        adaptive_scale: the scale falls by this times (1000 - timestep), but not below 0.

    Raises:
        ArgumentError, ArgumentTypeError: if an argument is not valid.
    """

    name = "pag"
    # Inside of what chooses the halves of guidance.
    order = -50
    inputs = (PAG_SCALE, PAG_ADAPTIVE_SCALE)

    def __init__(
        self, layers: Any = "mid", scale: float = 3.0, adaptive_scale: float = 0.0
    ) -> None:
        self.layers = checked_layers(layers)
        self.scale = _from_zero("scale", scale)
        self.adaptive_scale = _from_zero("adaptive_scale", adaptive_scale)
        self._contrast: Contrast | None = None

    def check(self, pipe: Any) -> None:
        """Check that the pipeline guides its steps, and that its U-Net has the layers.

        Raises:
            ArgumentError: if not.
        """
        unet = pipe.components.get(_DENOISER)
        if not isinstance(pipe, GuidedPipeline) or not isinstance(unet, nn.Module):
            raise ArgumentError(
                f"perturbed-attention guidance needs a pipeline with a U-Net whose steps are those "
                f"of a GuidedPipeline of autopipe_components; a {type(pipe).__name__} isn't one"
            )
        self_attention(unet, self.layers)

    def of_call(self, run: Any) -> PerturbedAttention:
        """Return the add-on with the arguments of a call.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is not valid.
        """
        made, call = copy.copy(self), run.call
        scale, adaptive_scale = (call.get(one.name) for one in self.inputs)
        if scale is not None:
            made.scale = _from_zero(PAG_SCALE.name, scale)
        if adaptive_scale is not None:
            made.adaptive_scale = _from_zero(PAG_ADAPTIVE_SCALE.name, adaptive_scale)
        made._contrast = Contrast() if made.scale else None
        return made

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Answer]:
        """Return the degraded form of the layers of the U-Net."""
        if self._contrast is None or component != _DENOISER:
            return {}
        degraded = Perturbed(self._contrast)
        return dict.fromkeys(self_attention(network, self.layers), degraded)

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: float
    ) -> Predict:
        """Return `predict` with a further prediction in each step whose scale is not 0."""
        contrast = self._contrast
        if contrast is None or not isinstance(run, GuidedPipeline):
            return predict

        def perturbed(step: int, timestep: Tensor) -> Tensor:
            contrast.scale = strength * self.scale_at(float(timestep))
            run.contrast = contrast if contrast.scale else None
            try:
                return predict(step, timestep)
            finally:
                run.contrast, contrast.rows = None, 0

        return perturbed

    def scale_at(self, timestep: float) -> float:
        """Return the scale at a timestep."""
        return max(self.scale - self.adaptive_scale * (1000 - timestep), 0.0)


def _from_zero(name: str, value: Any) -> float:
    found = number(name, value)
    if found < 0:
        raise ArgumentError(f"{name} is {shown(found)}; give 0 or more")
    return found
