"""Checks that the arguments of a call affect its result."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..subject import Subject
from ..verdict import Unjudged
from ..watching import SEEN, Draws

ELSEWHERE = (
    "generator",
    "output_type",
    "return_dict",
    "height",
    "width",
    "latents",
    "adapters",
    "cancellation",
)
"""Arguments that have their own checks, or that only affect the form of a result."""


def effects(subject: Subject) -> None:
    """Every argument with two known values changes the result, and so does the end of a prompt."""
    if not subject.can_be_called:
        subject.notes.unchecked.append("all arguments: inputs(pipeline) gives none to call it with")
        return
    draws = Draws(subject)
    alternatives = subject.alternatives()
    if "latents" in subject.taken:
        alternatives["latents"] = draws.other_latents()
    known = {**subject.arguments(), **alternatives}
    words = [one.split()[-1] for name, one in known.items() if _is_of_words(name, one)]
    faults, hidden = [], []
    for name, value in alternatives.items():
        other, like, told = draws(**{name: value}), draws.base, f"{name} has no effect"
        start, _, last = value.rpartition(" ") if _is_of_words(name, value) else [""] * 3
        word = next((word for word in words if word != last), None)
        if start and word and other.differs(like):
            # A truncated text still differs from the other one, so only the last word is changed.
            # The word is from a sample, which the tokenizer of a tiny checkpoint is likely to know.
            like = draws(0, **{name: f"{start} {word}"})
            told = f"the last word of {name} has no effect"
        if other.differs(like):
            continue
        try:
            draws.blame([f"{told} in {draws.where}"], like, other)
        except Unjudged as error:
            hidden.append(str(error))
        except AssertionError as error:
            faults.append(str(error))
    handled = {*ELSEWHERE, *alternatives, subject.serves and subject.serves.repeats}
    subject.notes.unchecked += [
        f"{name}: no two values of it are known"
        for name in subject.taken
        if name not in handled and "callback" not in name
    ]
    if faults:
        raise AssertionError("\n".join([*faults, *hidden]))
    if hidden:
        raise Unjudged("\n".join(hidden))


def _is_of_words(name: str, value: Any) -> bool:
    """Whether an argument is a prompt with several words."""
    return "prompt" in name and isinstance(value, str) and " " in value


def several(subject: Subject) -> None:
    """With one input and generator, the requested number of results is made, and they differ."""
    name = subject.task.repeats
    assert name is not None
    draws = Draws(subject)
    made = draws(**{name: 3}).made
    assert len(made) == 3 * len(draws.base.made), (
        f"{name} does not say how many {draws.where} makes"
    )
    if any(np.abs(a - b).max() <= SEEN for a, b in itertools.combinations(made, 2)):
        draws.blame([f"{name} repeats one result in {draws.where}"])
