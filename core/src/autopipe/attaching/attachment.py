"""What an add-on is: something that attaches to a pipeline and changes how it draws.

An add-on subclasses `Attachment` and overrides what it touches, of four places:

    networks    `answers`: modules of a network answer otherwise, in a view that shares all weights
    prompt      `encode`: goes around the encoding of texts
    prediction  `predict`: goes around the prediction of each step, guidance included
    latents     `after_step`: changes the latents after each step

Each is asked once in a call, and what it returns works in that call alone, so state of a call is
a variable of that function. An attachment belongs to the pool of weights, is switched on or off
for each pipeline on its own, and a call may say otherwise for itself by `adapters=`. With none
attached, a call takes the same path as if there were no add-ons. The methods get the pipeline, or
the run that a call works on, a `DiffusionPipeline` either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from torch import Tensor, nn

from ..tasks import Input
from .network_view import Answer

Encode: TypeAlias = Callable[..., Any]
"""`(texts, ...) -> embeddings`, as the family's text encoder of that name has it."""

Predict: TypeAlias = Callable[[int, Tensor], Tensor]
"""`(step, timestep) -> prediction`, in the form that the scheduler takes."""

AfterStep: TypeAlias = Callable[[int, Tensor, Tensor], Tensor]
"""`(step, timestep, latents) -> latents`."""


class Attachment:
    """The base of all add-ons; see the module's docstring.

    Attributes:
        name: what it is called where it is attached, if nothing else is said.
        order: those with lower numbers come first, then those that were attached first. The first
            is innermost: it changes what the family does, and later ones what comes of that.
        inputs: the keywords that it adds to calls; their values are in `run.call`, None if absent.
        weights: a module with tensors of its own, which move and are cast with the networks.
    """

    name: str = ""
    order: ClassVar[int] = 0
    inputs: ClassVar[tuple[Input, ...]] = ()
    weights: nn.Module | None = None

    def check(self, pipe: Any) -> None:
        """Refuse a pipeline that this can't be attached to, with an `ArgumentError`."""

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Answer]:
        """The modules of a network that answer otherwise, by their path.

        Args:
            component: what the network is called in the pipeline, such as `"unet"`.
            network: the network, without any attachment.
            strength: how strongly; 0 never comes here.
        """
        return {}

    def encode(self, run: Any, component: str, encode: Encode, strength: float) -> Encode:
        """What encodes texts instead of `encode`, that of the text encoder `component`."""
        return encode

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: float
    ) -> Predict:
        """What predicts instead of `predict`; `tensors` holds the latents of the step."""
        return predict

    def after_step(self, run: Any, strength: float) -> AfterStep | None:
        """What changes the latents after each step; None for nothing."""
        return None

    @classmethod
    def overrides(cls, method: str) -> bool:
        """Whether this add-on touches what `method` stands for."""
        return getattr(cls, method) is not getattr(Attachment, method)
