"""What was found in the texts of another program."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.json_files import parse_json
from autopipe.values import Range
from autopipe.wording import cut, shown

from ..samplers import Sampler, scheduler_of, split_name

LONGEST = 1 << 22
"""The longest text that is read, in characters; graphs of ComfyUI have a few hundred thousand."""

_LONGEST_PROMPT = 1 << 17
_LONGEST_NAME = 1000
_MOST_NOTES = 100
_PIXELS = Range(1, 1 << 16)
RANGES: Mapping[str, Range] = {
    "num_inference_steps": Range(1, 10_000),
    "guidance_scale": Range(-1000, 1000),
    "guidance_rescale": Range(0, 1),
    "seed": Range(0, 2**63 - 1),
    "strength": Range(0, 1),
    "clip_skip": Range(0, 100),
    "weight": Range(-1000, 1000),
}
"""The numbers that each argument can be."""

_WHOLE = ("num_inference_steps", "seed", "clip_skip")
_WEIGHTED = re.compile(r"(?<!\\)[(\[]|\b(?:BREAK|AND)\b")


@dataclass
class Foreign:
    """The settings of a picture of another program, as far as they have a meaning here.

    Attributes:
        program: the program.
        given: arguments of a request by name: `prompt`, `negative_prompt`, `num_inference_steps`,
            `guidance_scale`, `seed`, `size` (width and height in pixels), `scheduler` (an object
            with `name` and `config`), `strength`, `clip_skip` (how many last layers of the text
            encoder are skipped) and others.
        names: names of files that only its user knows, such as `model` and `vae`.
        loras: name and weight of each LoRA.
        grammar: the add-on that reads the weights of words in its prompts as the program does, or
            None if the prompts have none.
        weighted: the sentence in `differs` about these weights, if any.
        left: what isn't taken over, a sentence each.
        differs: what isn't reproduced although it is taken over, a sentence each.
    """

    program: str
    given: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    loras: list[tuple[str, float]] = field(default_factory=list)
    grammar: str | None = None
    weighted: str = ""
    left: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)

    def leave(self, sentence: str) -> None:
        """Note what isn't taken over."""
        _note(self.left, sentence)

    def differ(self, sentence: str) -> None:
        """Note what isn't reproduced."""
        _note(self.differs, sentence)

    def take(self, argument: str, value: object, key: str) -> None:
        """Take over a number as an argument, if it is one that the argument can have.

        Args:
            value: the number or its text; None and empty texts are passed over.
            key: what the program calls it.
        """
        if value is None or value == "":
            return
        found = number(value, RANGES[argument], whole=argument in _WHOLE)
        if found is None:
            self.leave(f"{key} is {shown(value)}, which {argument} can't be")
        else:
            self.given[argument] = found

    def take_size(self, width: object, height: object, key: str) -> None:
        """Take over width and height in pixels."""
        if width is None and height is None:
            return
        sides = [number(side, _PIXELS, whole=True) for side in (width, height)]
        if None in sides:
            self.leave(f"{key} is {shown(width)} by {shown(height)}, which isn't a size in pixels")
        else:
            self.given["size"] = tuple(sides)

    def take_prompts(
        self, positive: object, negative: object, *, grammar: str, example: str
    ) -> None:
        """Take over the prompts, and note the weights of words in them.

        Args:
            grammar: the add-on that reads them.
            example: how the program writes a weight.
        """
        for argument, value in (("prompt", positive), ("negative_prompt", negative)):
            text = text_of(value, _LONGEST_PROMPT)
            if isinstance(value, str) and len(value) > _LONGEST_PROMPT:
                self.leave(f"the {argument} has {len(value):,} characters; they are too many")
            elif text:
                self.given[argument] = text
                if self.grammar is None and _WEIGHTED.search(text):
                    self.grammar = grammar
        if self.grammar is not None:
            self.weighted = (
                f"the prompts weight words, as in {example}; attach {grammar} of autopipe-prompts, "
                f"or the signs are read as text"
            )
            self.differ(self.weighted)

    def take_name(self, kind: str, value: object) -> None:
        """Take over the name of a file."""
        if text := text_of(value):
            self.names[kind] = text

    def take_lora(self, name: object, weight: object) -> None:
        """Take over a LoRA."""
        text, found = text_of(name), number(weight, RANGES["weight"])
        if text and found is not None:
            if len(self.loras) < _MOST_NOTES:
                self.loras.append((text, float(found)))
        elif name is not None:
            self.leave(f"a LoRA is {shown(name)} with weight {shown(weight)}, which can't be used")

    def take_sampler(self, name: object, kind: str | None) -> None:
        """Take over a sampler and its schedule type as the scheduler.

        Args:
            kind: the schedule type; None if the name has it, or there is none.
        """
        text = text_of(name)
        if not text:
            return
        sampler, own = split_name(text)
        if sampler is None:
            self.leave(f"the sampler {shown(text)}, which has no counterpart here")
            return
        kind = own or kind
        scheduler, missing = scheduler_of(sampler, kind)
        if missing is not None:
            self.leave(f"the schedule type {shown(kind)} {missing}")
        self.given["scheduler"] = scheduler.model_dump()
        self._compare(sampler)

    def _compare(self, sampler: Sampler) -> None:
        if sampler.differs:
            self.differ(f"{sampler.name}: {sampler.differs}")
        if sampler.stochastic:
            self.differ(
                f"{sampler.name} adds noise in every step, and draws it in another way here"
            )


def _note(notes: list[str], sentence: str) -> None:
    if len(notes) < _MOST_NOTES and sentence not in notes:
        notes.append(cut(sentence, 500))


def number(value: object, limits: Range, *, whole: bool = False) -> int | float | None:
    """Return a number, or the number in a text, if it is in `limits`; else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        if len(value) > 40:
            return None
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if value.is_integer() and abs(value) < 2**53:
            value = int(value) if whole else value
    if whole and not isinstance(value, int):
        return None
    return value if value in limits else None


def text_of(value: object, most: int = _LONGEST_NAME) -> str:
    """Return `value` if it is a text of at most `most` characters, else an empty text.

    Halves of surrogate pairs, which can't be written anywhere, are replaced.
    """
    if not isinstance(value, str) or len(value) > most:
        return ""
    return value.encode("utf-8", "replace").decode()


def object_in(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object in a text.

    Args:
        what: what it is, for the message.

    Raises:
        ArgumentError: if there is none, or it is larger or deeper than any program writes.
    """
    checked(text, what)
    try:
        found = parse_json(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ArgumentError(f"{what} is not a JSON object that can be read: {shown(text)}")
    return found


def checked(text: str, what: str) -> str:
    """Return `text`.

    Raises:
        ArgumentError: if it is longer than any program writes.
    """
    if len(text) > LONGEST:
        raise ArgumentError(
            f"{what} has {len(text):,} characters, where at most {LONGEST:,} are read; draw the "
            f"picture from settings of your own"
        )
    return text


def objects_in(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list, of its first hundred members."""
    return (
        [one for one in value[:_MOST_NOTES] if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )


def is_set(value: object) -> bool:
    """Whether a value says more than that an option isn't used."""
    return value not in (None, False, 0, "", [], {}, "None", "none")
