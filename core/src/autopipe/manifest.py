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
        needs: the keyword by which the other stage of that chain is given, such as `prior`. It is
            also the key in the README's metadata that names its checkpoint, and the pipelines of
            the line `opens_as` call its components by that word, an underscore and their name.
    """

    name: str
    target: str
    task: Task | None = None
    line: str | None = None
    conditions: frozenset[str] = frozenset()
    opens_as: str | None = None
    needs: str | None = None


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
class Probe:
    """Recognises a checkpoint whose index names no class, or that has no index at all.

    Attributes:
        folders: the component folders that such a checkpoint has, at least; where one of them
            is absent the target is not imported.
        target: a function `(index, configs) -> index or None`. It gets the index as far as
            there is one, and the config of every folder that is there; it returns the content
            of a whole index, or None if the checkpoint is not of this family.
        others: folders that such a checkpoint may have too.
    """

    folders: tuple[str, ...]
    target: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """Everything a plugin offers.

    Attributes:
        name: a Python identifier, unique among the installed plugins.
        api: the interface number it was written for.
        pipelines, components, conditions, exports, probes: what it offers.
        demo: the folder of a small checkpoint shipped in the wheel, as
            `"package:relative/folder"`; it loads by the name `demo:<family name>`.
    """

    name: str
    api: int = API
    pipelines: tuple[Pipeline, ...] = ()
    components: tuple[Component, ...] = ()
    conditions: tuple[Condition, ...] = ()
    exports: tuple[Export, ...] = ()
    probes: tuple[Probe, ...] = ()
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
    wrong = list(_misshapen(family))
    yield from wrong
    if wrong:
        return
    for field in ("pipelines", "components", "conditions", "exports"):
        names = [(getattr(e, "library", None), e.name) for e in getattr(family, field)]
        for twice in sorted({n[1] for n in names if names.count(n) > 1}):
            yield f"its {field} name {twice} more than once"
    named: tuple[Pipeline | Component | Export, ...]
    named = (*family.pipelines, *family.components, *family.exports)
    targets = [(entry.target, entry.name) for entry in named]
    for target, owner in [*targets, *((probe.target, "a probe") for probe in family.probes)]:
        if not _is_target(target):
            yield f"the target {target!r} of {owner} is not of the form 'module:Class'"
    if family.demo is not None and ":" not in family.demo:
        yield f"its demo {family.demo!r} is not of the form 'package:folder'"
    for pipeline in family.pipelines:
        if pipeline.task is not None and not isinstance(pipeline.task, Task):
            yield f"the task {pipeline.task!r} of {pipeline.name} is no member of Task"
        if (pipeline.task is None) != (pipeline.line is None):
            yield f"{pipeline.name} must give both a task and a line, or neither"
        if pipeline.needs is not None and not pipeline.needs.isidentifier():
            yield f"{pipeline.name} needs {pipeline.needs!r}, which is no keyword"
        if pipeline.needs is not None and pipeline.opens_as is None:
            yield f"{pipeline.name} needs {pipeline.needs} and doesn't say as what it then opens"
    cells = [(p.line, p.conditions, p.task) for p in family.pipelines if p.task]
    for line, conditions, task in {c for c in cells if cells.count(c) > 1}:
        yield (
            f"two of its pipelines stand in one cell of the table "
            f"(line {line}, conditions {sorted(conditions)}, task {task})"
        )


_ENTRIES: dict[str, type] = {
    "pipelines": Pipeline,
    "components": Component,
    "conditions": Condition,
    "exports": Export,
    "probes": Probe,
}


def _misshapen(family: Family) -> Iterator[str]:
    """What is not of the type that it is declared to have."""
    for field, kind in _ENTRIES.items():
        entries = getattr(family, field)
        if not isinstance(entries, tuple) or not all(isinstance(e, kind) for e in entries):
            yield f"its {field} are not a tuple of {kind.__name__}"
            continue
        for entry in entries:
            for name, value in vars(entry).items():
                if not _fits(name, value):
                    yield f"the {name} {value!r} of an entry of its {field} can't be used"
    if not isinstance(family.demo, str | None):
        yield f"its demo {family.demo!r} is not of the form 'package:folder'"


def _fits(field: str, value: object) -> bool:
    """Whether `value` can stand in a field of this name, of any of the entries."""
    if field in ("task", "line", "opens_as", "needs"):
        return isinstance(value, str | None)
    if field in ("conditions", "folders", "others"):
        kind = frozenset if field == "conditions" else tuple
        return isinstance(value, kind) and all(isinstance(part, str) for part in value)
    if field == "kind":
        return value in ("model", "scheduler", "other")
    return isinstance(value, str)


def _is_target(target: str) -> bool:
    module, colon, attribute = target.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), attribute))
