"""How a family says what it is: data, and nothing that has to be imported to be read.

A family's entry point names a light module whose hook returns one `Family`. Everything that is
heavy is named by a target, a string `"module:Attribute"` that is imported on first use.

Cross-task links are cells of a table, not pairs: all pipelines of one *line* and one set of
*conditions* form a row, and switching task moves along the row. Cross-family links are
conditions: a plugin may declare rows of another family's line under a condition of its own,
and the keyword of that condition moves between the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .tasks import Task

API = 1
"""The number of this interface. A family whose `api` is another one is not loaded."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline class.

    Attributes:
        name: the class name, as `_class_name` in a `model_index.json` gives it.
        target: where the class is defined.
        task: the task it fulfils; None for members of a family that fulfil none.
        line: the row of the table it stands in; None where `task` is.
        conditions: the names of the conditions of that row.
        opens_as: the line whose pipeline an Auto class opens instead, where this class is a
            stage of a chain (a decoder that needs a prior).
    """

    name: str
    target: str
    task: Task | None = None
    line: str | None = None
    conditions: frozenset[str] = frozenset()
    opens_as: str | None = None


@dataclass(frozen=True)
class Component:
    """A class that a checkpoint may name, known by the identity pair of its index entry.

    Attributes:
        name: the class name in the pair.
        target: where the class is defined.
        library: the library in the pair.
        kind: `"model"`, `"scheduler"` or `"other"`.
    """

    name: str
    target: str
    library: str = "diffusers"
    kind: Literal["model", "scheduler", "other"] = "model"


@dataclass(frozen=True)
class Condition:
    """A keyword of the Auto classes that moves to another row, such as `controlnet`."""

    name: str
    keyword: str


@dataclass(frozen=True)
class Export:
    """A further public name, importable from `autopipe` itself."""

    name: str
    target: str


@dataclass(frozen=True)
class Family:
    """Everything a plugin offers.

    Attributes:
        name: a Python identifier, unique among the installed plugins.
        api: the interface number it was written for.
        pipelines, components, conditions, exports: what it offers.
        demo: the folder of a small checkpoint shipped in the wheel, as
            `"package:relative/folder"`; it loads by the name `demo:<family name>`.
    """

    name: str
    api: int = API
    pipelines: tuple[Pipeline, ...] = ()
    components: tuple[Component, ...] = ()
    conditions: tuple[Condition, ...] = ()
    exports: tuple[Export, ...] = ()
    demo: str | None = None


def flaws(family: object) -> Iterator[str]:
    """What is wrong with a manifest, a sentence each; nothing for a sound one."""
    if not isinstance(family, Family):
        yield f"its hook returned a {type(family).__name__} where an autopipe Family is expected"
        return
    if family.api != API:
        yield (
            f"it speaks interface {family.api!r} and this autopipe speaks {API}; "
            f"install versions of both that match"
        )
        return
    if not (isinstance(family.name, str) and family.name.isidentifier()):
        yield f"its name {family.name!r} is no Python identifier"
    kinds: tuple[tuple[str, type], ...] = (
        ("pipelines", Pipeline),
        ("components", Component),
        ("conditions", Condition),
        ("exports", Export),
    )
    for field, kind in kinds:
        entries = getattr(family, field)
        if not isinstance(entries, tuple) or not all(isinstance(e, kind) for e in entries):
            yield f"its {field} are not a tuple of {kind.__name__}"
            return
        names = [(getattr(e, "library", None), e.name) for e in entries]
        for twice in sorted({str(n[1]) for n in names if names.count(n) > 1}):
            yield f"its {field} name {twice} more than once"
    targeted: tuple[Pipeline | Component | Export, ...]
    targeted = (*family.pipelines, *family.components, *family.exports)
    for entry in targeted:
        module, colon, attribute = entry.target.partition(":")
        parts = [*module.split("."), attribute]
        if not colon or not all(part.isidentifier() for part in parts):
            yield f"the target {entry.target!r} of {entry.name} is not of the form 'module:Class'"
    for pipeline in family.pipelines:
        if pipeline.task is not None and not isinstance(pipeline.task, Task):
            yield f"the task {pipeline.task!r} of {pipeline.name} is no member of Task"
        if (pipeline.task is None) != (pipeline.line is None):
            yield f"{pipeline.name} must give both a task and a line, or neither"
    cells = [(p.line, p.conditions, p.task) for p in family.pipelines if p.task]
    for line, conditions, task in {c for c in cells if cells.count(c) > 1}:
        yield (
            f"two of its pipelines stand in one cell of the table "
            f"(line {line}, conditions {sorted(conditions)}, task {task})"
        )
