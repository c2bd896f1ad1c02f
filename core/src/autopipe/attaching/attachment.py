"""The base class of add-ons, which attach to a pipeline and change its calls.

An add-on subclasses `Attachment` and overrides one or more of five methods:

    networks    `answers`: replaces modules of a network, in a view that shares all weights
    processors  `replaces`: replaces a component that isn't a network, such as a tokenizer
    prompt      `encode`: wraps the encoding of texts
    prediction  `predict`: wraps the prediction of each step, including guidance
    latents     `after_step`: changes the latents after each step

Each method is called once per call of the pipeline, and its return value is used only in that call,
so the state of a call can be a local variable of the method. If several methods share it, `of_call`
returns a copy of the add-on that holds it. An attachment belongs to the pool of weights. Each
pipeline activates it separately, and a call can override that with `adapters=`. Without
attachments, a call takes the same path as if there were no add-ons. The methods receive the
pipeline, or the run of a call; both are a `DiffusionPipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

from torch import Tensor, nn

from ..tasks import Input
from .network_view import Answer

_Self = TypeVar("_Self", bound="Attachment")

Encode: TypeAlias = Callable[..., Any]
"""`(texts, ...) -> embeddings`, with the arguments of the family's text encoder."""

Predict: TypeAlias = Callable[[int, Tensor], Tensor]
"""`(step, timestep) -> prediction`, in the form that the scheduler takes."""

AfterStep: TypeAlias = Callable[[int, Tensor, Tensor], Tensor]
"""`(step, timestep, latents) -> latents`."""


class Attachment:
    """The base of all add-ons; see the module's docstring.

    Attributes:
        name: the default name of the attachment.
        order: add-ons with lower numbers are applied first; equal ones in the order of attaching.
            The first is innermost: it wraps the family's function, and later ones wrap the result.
        inputs: the keywords that it adds to calls; their values are in `run.call`, None if absent.
        weights: a module with the add-on's own tensors, which is moved and cast with the networks.
    """

    name: str = ""
    order: ClassVar[int] = 0
    inputs: ClassVar[tuple[Input, ...]] = ()
    weights: nn.Module | None = None

    def check(self, pipe: Any) -> None:
        """Raise `ArgumentError` if this add-on can't be attached to `pipe`."""

    def brings(self, pipe: Any, lacking: Sequence[str]) -> dict[str, Any]:
        """Return components that this add-on needs and `pipe` lacks, by name.

        Called once, after `check`. They become components of the pipeline until this add-on is
        detached.

        Args:
            lacking: the components that the pipeline can have and doesn't have.
        """
        return {}

    def check_strength(self, value: Any) -> Any:
        """Return a strength in the form in which `answers` and the other methods get it.

        Override it for an add-on whose strength has parts, such as a dict by component. Otherwise
        a strength is a finite number. One that counts as False, such as 0, makes the add-on
        inactive.

        Raises:
            ArgumentTypeError: if `value` can't be a strength of this add-on.
        """
        return value

    def of_call(self: _Self, run: Any) -> _Self:
        """Return the add-on whose methods serve one call: itself, or a copy with that call's state.

        It may depend on the arguments, `run.call`.

        Raises:
            ArgumentError: if the call has arguments that this add-on can't use.
        """
        return self

    def replaces(self, component: str, value: Any, strength: Any) -> Any:
        """Return what takes the place of a component that is neither a network nor a scheduler.

        Only pipelines and calls in which this add-on is active have the replacement; saving and
        `from_pipe` use the original. Called once for each such component, without a strength of 0.

        Args:
            component: the name of the component, such as `"tokenizer"`.
            value: the component, or what an add-on before this one replaced it by; never None.

        Returns:
            `value` itself if it stays as it is. Never a changed `value`: other pipelines use it.
        """
        return value

    def answers(self, component: str, network: nn.Module, strength: Any) -> Mapping[str, Answer]:
        """Return the functions that replace modules of a network, by the path of the module.

        Args:
            component: the component name of the network, such as `"unet"`.
            network: the network, without attachments; its own path is "".
            strength: the strength of the effect, as `check_strength` returned it; never 0 here.
        """
        return {}

    def encode(self, run: Any, component: str, encode: Encode, strength: Any) -> Encode:
        """Return a function that replaces `encode` of the text encoder `component`."""
        return encode

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: Any
    ) -> Predict:
        """Return a function that replaces `predict`; `tensors` has the latents of the step."""
        return predict

    def after_step(self, run: Any, strength: Any) -> AfterStep | None:
        """Return a function that changes the latents after each step, or None."""
        return None

    @classmethod
    def overrides(cls, method: str) -> bool:
        """Whether this add-on overrides `method`."""
        return getattr(cls, method) is not getattr(Attachment, method)
