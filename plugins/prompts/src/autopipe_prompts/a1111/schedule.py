"""Texts that change during a call: `[from:to:0.5]` and `[one|other]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from ..fragments import check_depth

_PIECE = re.compile(r"\\.?|[()\[\]:|]|[^\\()\[\]:|]+", re.DOTALL)
_WHEN = re.compile(r"\s*([+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))\s*")


@dataclass(frozen=True)
class Switch:
    """`[from:to:when]`: one text in the first steps, and another one after them.

    Attributes:
        before, after: the texts.
        when: the number of steps of the first text, or their part of all steps.
        is_part: which of the two `when` is.
    """

    before: Sequence[Node]
    after: Sequence[Node]
    when: float
    is_part: bool


@dataclass(frozen=True)
class Turns:
    """`[one|other]`: in each step the next text, in turns."""

    options: Sequence[Sequence[Node]]


Node: TypeAlias = "str | Switch | Turns"


def tree_of(text: str) -> list[Node]:
    """Return a prompt as text and what changes during a call.

    Square brackets that don't change anything stay text, and so does what a backslash precedes.

    Raises:
        ArgumentError: if brackets are nested too deeply.
    """
    if "[" not in text:
        return [text]
    frames = [_Frame("")]
    for match in _PIECE.finditer(text):
        piece, frame = match[0], frames[-1]
        if piece in ("(", "["):
            frames.append(_Frame(piece))
            check_depth(len(frames) - 1, text, match.start())
        elif piece == ")" and frame.opening == "(":
            frames.pop()
            frames[-1].nodes += ["(", *frame.nodes, ")"]
        elif piece == "]" and frame.opening == "[":
            frames.pop()
            frames[-1].nodes += frame.closed()
        else:
            if piece in (":", "|") and frame.opening == "[":
                frame.marks.append(len(frame.nodes))
            frame.nodes.append(piece)
    while len(frames) > 1:
        frame = frames.pop()
        frames[-1].nodes += [frame.opening, *frame.nodes]
    return frames[0].nodes


@dataclass
class _Frame:
    """What is inside an open bracket.

    Attributes:
        marks: the indices of colons and bars among the nodes.
    """

    opening: str
    nodes: list[Node] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)

    def closed(self) -> list[Node]:
        """Return the nodes that a square bracket with this content stands for."""
        bars = [place for place in self.marks if self.nodes[place] == "|"]
        if bars:
            return [Turns(self._between(bars))]
        parts = self._between(self.marks)
        if len(parts) in (2, 3):
            last = "".join(one for one in parts[-1] if isinstance(one, str))
            when = _WHEN.fullmatch(last)
            if when and all(isinstance(one, str) for one in parts[-1]):
                before = parts[0] if len(parts) == 3 else []
                return [Switch(before, parts[-2], float(when[1]), "." in when[1])]
        return ["[", *self.nodes, "]"]

    def _between(self, marks: Sequence[int]) -> list[list[Node]]:
        bounds = [-1, *marks, len(self.nodes)]
        return [self.nodes[start + 1 : end] for start, end in pairwise(bounds)]


def changes(nodes: Sequence[Node]) -> bool:
    """Whether the text of a prompt changes during a call."""
    return any(not isinstance(node, str) for node in nodes)


def text_at(nodes: Sequence[Node], step: int, steps: int) -> str:
    """Return the text of a prompt in one step.

    Args:
        step: the index of the step.
        steps: the number of steps of the call.
    """
    found = []
    for node in nodes:
        if isinstance(node, Switch):
            last = int(node.when * steps if node.is_part else node.when)
            found.append(text_at(node.before if step < last else node.after, step, steps))
        elif isinstance(node, Turns):
            found.append(text_at(node.options[step % len(node.options)], step, steps))
        else:
            found.append(node)
    return "".join(found)
