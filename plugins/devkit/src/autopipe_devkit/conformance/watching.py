"""Drawing with a pipeline while its networks are watched: what they were asked and answered."""

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

from .subject import Subject
from .verdict import Unjudged

SEEN = 1e-5
"""Two results that differ by less are the same: so much may rounding do in float32. An argument of
networks with random weights does a thousand times more."""

EDGE = 1e-3
"""Nearer to the ends of its range a value can hardly move."""

ASKED = 1e-4
"""Networks that are asked what differs by more should answer differently."""


@dataclass(frozen=True)
class Use:
    """A part of a network was used.

    Attributes:
        component: what the network is called in the pipeline.
        part: the name of the part, empty for the whole network.
        asked, answered: copies of the tensors that went in and came out.
    """

    component: str
    part: str
    asked: list[Tensor]
    answered: list[Tensor]

    @property
    def rows(self) -> int:
        """The number of results."""
        return len(self.answered[0]) if self.answered and self.answered[0].ndim else 0

    def by_row(self) -> Iterator[tuple[np.ndarray, bytes]]:
        """What was asked and answered for each row; rounding in the answer is left out."""
        whole = [one for one in self.asked if not one.ndim or len(one) != self.rows]
        for row in range(self.rows):
            own = [one[row] for one in self.asked if one.ndim and len(one) == self.rows]
            answers = [one[row] for one in self.answered if one.ndim and len(one) == self.rows]
            answered = (_numbers(answers) / SEEN).round() + 0.0
            yield _numbers([*own, *whole]), answered.tobytes()


@dataclass(frozen=True)
class Drawn:
    """What came of a call.

    Attributes:
        made: the result as an array; pictures are (B, H, W, C) in [0, 1].
        uses: of the networks, in order.
    """

    made: np.ndarray
    uses: list[Use]

    def differs(self, other: Drawn) -> bool:
        """Whether the other result is visibly another one."""
        if self.made.shape != other.made.shape:
            return True
        return bool(np.abs(self.made - other.made).max(initial=0) > SEEN)

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each part of a component was used."""
        return Counter((use.component, use.part) for use in self.uses)


class Draws:
    """Draws with the pipeline of a subject.

    Attributes:
        subject: whose pipeline it is.
        pipe: the pipeline.
        where: what a message calls the place of a fault: the task, or the class if there is none.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.pipe = subject.load()
        self.where = str(subject.serves or subject.pipeline.name)

    def __call__(self, seed: int = 0, **changes: Any) -> Drawn:
        """A call with the subject's arguments, changed by `changes`."""
        with watched(networks_of(self.pipe.components)) as uses:
            made = self.subject.result(self.pipe, seed, **changes)
        return Drawn(made, uses)

    @cached_property
    def base(self) -> Drawn:
        """A call with the subject's arguments."""
        return self()

    def pair(self, name: str) -> tuple[Any, Any]:
        """Two values of a number, the smaller one first; it must have two samples."""
        one, other = self.subject.arguments().get(name), self.subject.alternatives().get(name)
        if one is None or other is None:
            raise Unjudged(f"no two values of {name} are known in {self.where}")
        return min(one, other), max(one, other)

    @cached_property
    def denoisers(self) -> set[tuple[str, str]]:
        """The networks, or parts of them, that are used more often for more steps."""
        few, many = (self(num_inference_steps=n).counts() for n in self.pair("num_inference_steps"))
        found = {place for place in many if many[place] > few[place]}
        assert found, f"no network is used more often for more num_inference_steps in {self.where}"
        return found

    def denoising(self, drawn: Drawn) -> list[Use]:
        """The uses of the denoising network."""
        return [use for use in drawn.uses if (use.component, use.part) in self.denoisers]

    def latents(self, held: Tensor | None = None, **changes: Any) -> tuple[Drawn, Tensor]:
        """What a call makes, and the latents after its last step.

        Args:
            held: what each step but the first starts from, whatever the one before it made.
        """
        seen: list[Tensor] = []

        class Look(Attachment):
            def after_step(self, run: Any, strength: float) -> AfterStep:
                def look(step: int, timestep: Tensor, latents: Tensor) -> Tensor:
                    seen.append(latents.detach().clone())
                    # The stages of a chain have latents of other shapes.
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

    def blame(self, faults: Iterable[str], *drawn: Drawn) -> None:
        """Fail where there are faults, as seen in `drawn`, unless the checkpoint would hide it."""
        message = "\n".join(faults)
        if not message:
            return
        reason = self.dullness(*(drawn or (self.base,)))
        if reason:
            raise Unjudged(f"{message}, as far as can be seen: {reason}")
        raise AssertionError(message)

    def dullness(self, *drawn: Drawn) -> str:
        """Why the checkpoint would hide an effect on one of `drawn`; empty if it wouldn't."""
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
    """Whether a part of a network gave two questions the same answer."""
    known: dict[tuple[str, bytes], np.ndarray] = {}
    for use in (use for one in drawn for use in one.uses if use.component == component):
        for asked, answered in use.by_row():
            before = known.setdefault((use.part, answered), asked)
            if before.shape == asked.shape and np.abs(before - asked).max(initial=0) > ASKED:
                return True
    return False


@contextmanager
def watched(networks: Mapping[str, nn.Module]) -> Iterator[list[Use]]:
    """Fills a list with the uses of `networks` inside, of whole ones or of parts by themselves."""
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
    """All tensors in nested lists, dicts and outputs."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def _numbers(tensors: list[Tensor]) -> np.ndarray:
    """All numbers of `tensors` in a row."""
    return np.concatenate([np.zeros(0), *(one.cpu().double().numpy().ravel() for one in tensors)])
