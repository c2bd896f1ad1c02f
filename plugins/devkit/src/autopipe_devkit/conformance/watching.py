"""Calls a pipeline and records the inputs and outputs of its networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor, nn

from autopipe.attaching.attachment import AfterStep, Attachment
from autopipe.placement.base import networks_of

from . import given
from .subject import Subject
from .verdict import Unjudged

SEEN = 1e-5
"""Two results that differ by less count as equal, since float32 rounding can differ that much. With
random weights, the effect of an argument is a thousand times larger."""

EDGE = 1e-3
"""Closer to an end of its range than this, a value can hardly change."""

ASKED = 1e-4
"""If the inputs of a network differ by more than this, its outputs should differ too."""


@dataclass(frozen=True)
class Use:
    """A call of a network or of a part of it.

    Attributes:
        component: the name of the network in the pipeline.
        part: the name of the part, or empty for the whole network.
        asked, answered: copies of the input and output tensors.
    """

    component: str
    part: str
    asked: list[Tensor]
    answered: list[Tensor]

    @property
    def rows(self) -> int:
        """The number of rows of the output."""
        return len(self.answered[0]) if self.answered and self.answered[0].ndim else 0

    def by_row(self) -> Iterator[tuple[np.ndarray, bytes]]:
        """Yield the input and the output of each row; the output is rounded."""
        whole = [one for one in self.asked if not one.ndim or len(one) != self.rows]
        for row in range(self.rows):
            own = [one[row] for one in self.asked if one.ndim and len(one) == self.rows]
            answers = [one[row] for one in self.answered if one.ndim and len(one) == self.rows]
            answered = (_numbers(answers) / SEEN).round() + 0.0
            yield _numbers([*own, *whole]), answered.tobytes()


@dataclass(frozen=True)
class Drawn:
    """The result of a call, and how it used the networks.

    Attributes:
        made: the result as an array; pictures are (B, H, W, C) in [0, 1].
        uses: the calls of the networks, in order.
    """

    made: np.ndarray
    uses: list[Use]

    def differs(self, other: Drawn) -> bool:
        """Whether the two results differ by more than rounding."""
        if self.made.shape != other.made.shape:
            return True
        return bool(np.abs(self.made - other.made).max(initial=0) > SEEN)

    def counts(self) -> Counter[tuple[str, str]]:
        """Return how often each part of a component was called."""
        return Counter((use.component, use.part) for use in self.uses)


class Draws:
    """Calls the pipeline of a subject, and records how it uses its networks.

    Attributes:
        subject: the subject.
        pipe: its pipeline.
        seen: the latents after each step of the last call of `latents`.
        where: the place of a fault for messages: the task, or the class if there is no task.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.pipe = subject.load()
        self.seen: list[Tensor] = []
        self.where = str(subject.serves or subject.pipeline.name)

    def __call__(self, seed: int = 0, **changes: Any) -> Drawn:
        """Call the pipeline with the subject's arguments and `changes`."""
        with watched(networks_of(self.pipe.components)) as uses:
            made = self.subject.result(self.pipe, seed, **changes)
        return Drawn(made, uses)

    @cached_property
    def base(self) -> Drawn:
        """The result of a call with the subject's arguments."""
        return self()

    def pair(self, name: str) -> tuple[Any, Any]:
        """Return the two known values of a numeric argument, the smaller one first."""
        one, other = self.subject.arguments().get(name), self.subject.alternatives().get(name)
        if one is None or other is None:
            raise Unjudged(f"no two values of {name} are known in {self.where}")
        return min(one, other), max(one, other)

    @cached_property
    def denoisers(self) -> set[tuple[str, str]]:
        """The networks, or parts of them, that are called more often when there are more steps."""
        few, many = (self(num_inference_steps=n).counts() for n in self.pair("num_inference_steps"))
        found = {place for place in many if many[place] > few[place]}
        assert found, f"no network is used more often for more num_inference_steps in {self.where}"
        return found

    def denoising(self, drawn: Drawn) -> list[Use]:
        """Return the calls of the denoising networks."""
        return [use for use in drawn.uses if (use.component, use.part) in self.denoisers]

    def latents(self, held: Tensor | None = None, **changes: Any) -> tuple[Drawn, Tensor]:
        """Return the result of a call, and the latents after its last step.

        Args:
            held: the latents that replace the result of each step.
        """
        seen = self.seen = []

        class Look(Attachment):
            def after_step(self, run: Any, strength: float) -> AfterStep:
                def look(step: int, timestep: Tensor, latents: Tensor) -> Tensor:
                    seen.append(latents.detach().clone())
                    # The stages of a chain have latents of different shapes.
                    return held if held is not None and held.shape == latents.shape else latents

                return look

        self.pipe.attach(Look(), name="looks")
        try:
            drawn = self(**changes)
        finally:
            self.pipe.detach("looks")
        assert seen, (
            "the steps are not taken by autopipe.pipeline.loop.denoise, so add-ons can't see them"
        )
        return drawn, seen[-1]

    def other_latents(self) -> Tensor:
        """Return random latents in the shape that calls take.

        In a chain, those are the latents of one of its stages, tried from the last.
        """
        _, last = self.latents()
        for like in reversed(list({one.shape: one for one in self.seen}.values())):
            made = given.random_like(like, seed=5)
            if given.takes_latents(self.subject, self.pipe, made):
                return made
        return given.random_like(last, seed=5)

    def blame(self, faults: Iterable[str], *drawn: Drawn) -> None:
        """Fail if there are faults; as unjudged if the checkpoint hides effects in `drawn`."""
        message = "\n".join(faults)
        if not message:
            return
        reason = self.dullness(*(drawn or (self.base,)))
        if reason:
            raise Unjudged(f"{message}, as far as can be seen: {reason}")
        raise AssertionError(message)

    def dullness(self, *drawn: Drawn) -> str:
        """Return why the checkpoint would hide an effect in one of `drawn`, or an empty string."""
        for component in dict.fromkeys(use.component for one in drawn for use in one.uses):
            if _answers_alike(component, drawn):
                return f"the checkpoint's {component} answers alike whatever it is asked"
        made = drawn[0].made
        if self.subject.serves is None or self.subject.serves.output != "images":
            return ""
        if made.min() == made.max():
            return "the checkpoint draws a picture of one colour"
        if ((made < EDGE) | (made > 1 - EDGE)).all():
            return "every value of the checkpoint's picture is at the end of its range"
        return ""


def _answers_alike(component: str, drawn: tuple[Drawn, ...]) -> bool:
    """Whether a part of a network returned the same output for two different inputs."""
    known: dict[tuple[str, bytes], np.ndarray] = {}
    for use in (use for one in drawn for use in one.uses if use.component == component):
        for asked, answered in use.by_row():
            before = known.setdefault((use.part, answered), asked)
            if before.shape == asked.shape and np.abs(before - asked).max(initial=0) > ASKED:
                return True
    return False


@contextmanager
def watched(networks: Mapping[str, nn.Module]) -> Iterator[list[Use]]:
    """Context manager that yields a list and records the outermost calls of `networks` in it."""
    uses: list[Use] = []
    inside: list[nn.Module] = []
    names = {
        id(part): (component, path)
        for component, network in networks.items()
        for path, part in network.named_modules()
    }

    def enter(module: nn.Module, arguments: Any) -> None:
        if id(module) in names:
            inside.append(module)

    def leave(module: nn.Module, arguments: Any, keywords: Any, answer: Any) -> None:
        if id(module) in names:
            inside.pop()
            if not inside:
                asked = [one.detach().clone() for one in _tensors((arguments, keywords))]
                answered = [one.detach().clone() for one in _tensors(answer)]
                uses.append(Use(*names[id(module)], asked, answered))

    handles: list[Any] = [nn.modules.module.register_module_forward_pre_hook(enter)]
    watch: Callable[..., Any] = nn.modules.module.register_module_forward_hook
    handles.append(watch(leave, with_kwargs=True, always_call=True))
    try:
        yield uses
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested lists, dicts and outputs."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def _numbers(tensors: list[Tensor]) -> np.ndarray:
    """Return all elements of `tensors` as a flat array."""
    return np.concatenate([np.zeros(0), *(one.cpu().double().numpy().ravel() for one in tensors)])
