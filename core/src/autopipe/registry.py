"""The registry: which class serves which checkpoint for which task.

Every installed family declares its pipelines as cells of one table:

    row                                text2image        image2image       inpaint
    line "sd"                          SDPipeline        SDImg2Img...      SDInpaint...
    line "sd", condition "controlnet"  SDControlNet...   SDControlNet...   SDControlNet...

A *line* is a kind of checkpoint, a *condition* something added from outside by a keyword. To
resolve is to find the row of a class, to change its conditions as the caller asks, and to read
the cell of the task. Nothing is derived from the spelling of a class name.

A registry never changes. The default one is filled from the entry points of the installed
distributions, once in a process; this module shows its public face: `families`, `tasks`,
`problems` and `resolve`. `register` puts one with a family more in its place. Nothing here
imports a family's code; targets do that on first use.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .discovery import Installed, Plugin, Problem, discover, without_duplicates
from .errors import MissingPluginError, PluginError, UnsupportedCheckpointError
from .hints import DIST_BY_CLASS, dist_for_class, dist_for_keyword, owner_of_family, pip_line
from .manifest import Component, Condition, Family, Pipeline, flaws
from .targets import load_target, target_of
from .tasks import Task

__all__ = [
    "Registry",
    "Resolution",
    "default_registry",
    "families",
    "problems",
    "register",
    "resolve",
    "tasks",
]


@dataclass(frozen=True)
class Resolution:
    """The answer of `resolve`: the pipeline to use, the family that offers it, and why."""

    pipeline: Pipeline
    family: str
    reason: str

    def load_class(self) -> type:
        """Import the pipeline class."""
        cls: type = load_target(self.pipeline.target)
        return cls


class Registry:
    """An immutable table of families. See the module's docstring for how it is read."""

    def __init__(self, installed: Iterable[Installed] = (), problems: Iterable[Problem] = ()):
        self.installed = everything = tuple(installed)
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.families: Mapping[str, Family] = MappingProxyType(
            {i.family.name: i.family for i in everything}
        )
        self.plugins: Mapping[str, Plugin] = MappingProxyType(
            {i.family.name: i.plugin for i in everything}
        )
        self._pipelines: dict[str, tuple[Pipeline, str]] = {}
        self._cells: dict[tuple[str | None, frozenset[str], Task], tuple[Pipeline, str]] = {}
        self._components: dict[tuple[str, str], Component] = {}
        self._conditions: dict[str, Condition] = {}
        self._targets: dict[str, str] = {}
        for family in self.families.values():
            self._add(family)
        self._by_target = {p.target: p for p, _ in self._pipelines.values()}
        self._identities = {c.target: (c.library, c.name) for c in self._components.values()}

    def _add(self, family: Family) -> None:
        for pipeline in family.pipelines:
            self._pipelines[pipeline.name] = (pipeline, family.name)
            self._targets[pipeline.name] = pipeline.target
            if pipeline.task is not None:
                cell = (pipeline.line, pipeline.conditions, pipeline.task)
                self._cells[cell] = (pipeline, family.name)
        for component in family.components:
            self._components[component.library, component.name] = component
            self._targets[component.name] = component.target
        for export in family.exports:
            self._targets.setdefault(export.name, export.target)
        for condition in family.conditions:
            self._conditions[condition.keyword] = condition

    # What there is

    @property
    def tasks(self) -> Mapping[Task, tuple[Pipeline, ...]]:
        """The pipelines that fulfil each task."""
        found = [pipeline for pipeline, _ in self._pipelines.values()]
        return MappingProxyType({t: tuple(p for p in found if p.task is t) for t in Task})

    @property
    def conditions(self) -> Mapping[str, Condition]:
        """The conditions by their keyword."""
        return MappingProxyType(self._conditions)

    def names(self) -> list[str]:
        """All public names that the installed families add to `autopipe`."""
        return sorted(self._targets)

    def target(self, name: str) -> str | None:
        """The target of a public name, or None."""
        return self._targets.get(name)

    def pipeline(self, class_name: str) -> Pipeline | None:
        """The pipeline called `class_name`, or None."""
        entry = self._pipelines.get(class_name)
        return entry[0] if entry else None

    def component(self, library: str, class_name: str) -> Component | None:
        """The component that an index entry `[library, class_name]` names, or None."""
        return self._components.get((library, class_name))

    def identity(self, cls: type) -> tuple[str, str] | None:
        """The pair that an index gives for objects of `cls`, or None.

        A subclass of a known class goes by the pair of that class. Classes of transformers
        go by their own name.
        """
        for base in cls.__mro__:
            pair = self._identities.get(target_of(base))
            if pair is not None:
                return pair
            if base.__module__.partition(".")[0] == "transformers":
                return "transformers", base.__name__
        pipeline = self.pipeline_of(cls)
        return ("diffusers", pipeline.name) if pipeline else None

    def pipeline_of(self, cls: type) -> Pipeline | None:
        """The pipeline that `cls` is, or is a subclass of; None for others."""
        return next((p for b in cls.__mro__ if (p := self._by_target.get(target_of(b)))), None)

    def compatible_schedulers(self, cls: type) -> list[type]:
        """The installed schedulers that can be made from the config of `cls`, by name.

        One that can't be imported is left out.
        """
        found = [c for c in self._components.values() if c.kind == "scheduler"]
        classes = [cls]
        for component in sorted(found, key=lambda c: c.name):
            with contextlib.suppress(PluginError, MissingPluginError):
                classes.append(load_target(component.target))
        able, *others = (getattr(one, "has_compatibles", True) for one in classes)
        return [one for one, other in zip(classes[1:], others) if able and other]

    # Resolution

    def resolve(
        self,
        class_name: str,
        task: Task | str | None = None,
        conditions: Mapping[str, bool] | None = None,
    ) -> Resolution:
        """Find the pipeline for a checkpoint's class, a task and conditions.

        Args:
            class_name: `_class_name` of a `model_index.json`, or the name of a pipeline class.
            task: the task wanted; None takes the class as it is.
            conditions: which keywords the caller gave, such as `{"controlnet": True}`; False
                asks for the row without that condition. Those not named stay as they are.

        Raises:
            UnsupportedCheckpointError: no installed pipeline fits; the message says what would.
        """
        entry = self._pipelines.get(class_name)
        if entry is None:
            raise UnsupportedCheckpointError(self._cannot(class_name, None, None))
        pipeline, family = entry
        wanted = self._wanted_conditions(pipeline, family, conditions or {})
        if task is None:
            if wanted == pipeline.conditions:
                return Resolution(pipeline, family, f"the checkpoint names {class_name}")
            task = pipeline.task
        if task is None:
            raise UnsupportedCheckpointError(self._cannot(class_name, family, "that has no task"))
        task = Task.parse(task)
        line = pipeline.opens_as or pipeline.line
        found = self._cells.get((line, wanted, task)) if line else None
        if found is None:
            raise UnsupportedCheckpointError(self._no_cell(pipeline, family, task, wanted))
        with_conditions = f" with {' and '.join(sorted(wanted))}" if wanted else ""
        return Resolution(
            found[0],
            found[1],
            f"{class_name} stands in the line {line}, whose pipeline for {task.value}"
            f"{with_conditions} is {found[0].name}",
        )

    def _wanted_conditions(
        self, pipeline: Pipeline, family: str, given: Mapping[str, bool]
    ) -> frozenset[str]:
        wanted = set(pipeline.conditions)
        for keyword, present in given.items():
            condition = self._conditions.get(keyword)
            if condition is None:
                if present:
                    raise UnsupportedCheckpointError(
                        self._cannot(pipeline.name, family, f"with {keyword}=", keyword)
                    )
            elif present:
                wanted.add(condition.name)
            else:
                wanted.discard(condition.name)
        return frozenset(wanted)

    def _no_cell(self, pipeline: Pipeline, family: str, task: Task, wanted: frozenset[str]) -> str:
        line = pipeline.opens_as or pipeline.line
        if line is None:
            return self._cannot(
                pipeline.name,
                family,
                f"which fulfils no task by itself; load it with "
                f"{pipeline.name}.from_pretrained or DiffusionPipeline.from_pretrained",
            )
        row = sorted(
            f"{p.name} ({t.value})"
            for (row_line, row_conditions, t), (p, _) in self._cells.items()
            if (row_line, row_conditions) == (line, wanted)
        )
        if row:
            return self._cannot(
                pipeline.name, family, f"for {task.value}; it offers {', '.join(row)}"
            )
        text = self._cannot(
            pipeline.name,
            family,
            f"together with {' and '.join(sorted(wanted)) or 'no condition'}",
            *(keyword for keyword, c in self._conditions.items() if c.name in wanted),
        )
        owner = owner_of_family(line)
        if not wanted and line not in self.families and owner in DIST_BY_CLASS.values():
            text += f" That is in the package {owner}. Run: {pip_line(owner)}"
        return text

    # Explanations

    def _cannot(
        self, class_name: str, family: str | None, detail: str | None, *keywords: str
    ) -> str:
        text = f"AutoPipeline can't find a pipeline linked to {class_name} for {family}"
        text += f" {detail}." if detail else "."
        if family is None:
            text += " " + self.explain_missing(class_name)
        for keyword in keywords:
            dist = dist_for_keyword(keyword)
            if keyword not in self._conditions:
                text += (
                    f" No installed plugin knows {keyword}=."
                    + (f" Run: {pip_line(dist)}" if dist else "")
                    + self._problem_with(dist)
                )
            else:
                text += f" The installed plugins offer no {keyword} pipelines for this family."
        return text

    def explain_missing(self, class_name: str) -> str:
        """Why `class_name` is not here and what to do: a broken plugin, or the pip line."""
        dist = dist_for_class(class_name)
        if dist is not None:
            trouble = self._problem_with(dist)
            return (
                trouble.strip() or f"{class_name} is in the package {dist}. Run: {pip_line(dist)}"
            )
        troubles = " ".join(
            f"A plugin that may offer it is not in use: {p}." for p in self.problems
        )
        return troubles or (
            f"No installed plugin offers {class_name}; install the package of its family. "
            f"Installed families: {', '.join(sorted(self.families)) or 'none'}."
        )

    def _problem_with(self, dist: str | None) -> str:
        return "".join(f" Note that {p}." for p in self.problems if dist == p.plugin.dist)

    def load(self, name: str) -> Any:
        """Import what the public `name` stands for.

        Raises:
            MissingPluginError: no installed plugin offers it.
        """
        target = self._targets.get(name)
        if target is None:
            raise MissingPluginError(f"{name} can't be imported. {self.explain_missing(name)}")
        return load_target(target)


_lock = threading.Lock()
_default: Registry | None = None


def default_registry() -> Registry:
    """The registry of the installed distributions, built at the first look."""
    global _default
    if _default is None:
        with _lock:
            if _default is None:
                _default = Registry(*discover())
    return _default


def register(family: Family) -> None:
    """Add `family` to the default registry of this process.

    For notebooks and experiments: targets may name classes of `__main__`. Other processes don't
    see it, worker processes neither; a family for them is an installed package. The same family
    again changes nothing.

    Raises:
        PluginError: the manifest is flawed, or claims what another family offers.
    """
    global _default
    wrong = "; ".join(flaws(family))
    if wrong:
        raise PluginError(f"the family can't be registered: {wrong}")
    default_registry()
    with _lock:
        assert _default is not None
        if _default.families.get(family.name) == family:
            return
        new = Installed(Plugin(family.name, "registered at run time", "-"), family)
        together, problems = without_duplicates([*_default.installed, new])
        if problems:
            raise PluginError(f"the family can't be registered: {problems[0].reason}")
        _default = Registry(together, _default.problems)


def resolve(
    class_name: str,
    task: Task | str | None = None,
    conditions: Mapping[str, bool] | None = None,
) -> Resolution:
    """`Registry.resolve` of the default registry."""
    return default_registry().resolve(class_name, task, conditions)


if TYPE_CHECKING:
    families: Mapping[str, Family]
    tasks: Mapping[Task, tuple[Pipeline, ...]]
    problems: tuple[Problem, ...]


def __getattr__(name: str) -> Any:
    if name in ("families", "tasks", "problems"):
        return getattr(default_registry(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
