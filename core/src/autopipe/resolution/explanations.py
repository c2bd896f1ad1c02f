"""The messages of the registry's errors: what is missing, why, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..errors import nearest
from ..manifest import Condition, Manifest, Pipeline, Reader
from ..tasks import Task
from ..wording import listed, shown
from .claims import Settled
from .discovery import Problem
from .hints import dist_of, owner_of_family, pip_line, published

_KINDS = {"addon": "add-on"}


@dataclass(frozen=True)
class Explanations:
    """Writes the messages for what a registry lacks.

    Attributes:
        problems: the problems of the installed plugins.
        settled: the claims, some of which may conflict.
        families: the manifests in use, by name.
    """

    problems: Collection[Problem]
    settled: Settled
    families: Mapping[str, Manifest]

    def unknown(self, class_name: str) -> str:
        """The message when no plugin provides the pipeline `class_name`."""
        return f"{_cannot(class_name, None)}. {self.missing(class_name)}"

    def no_task(self, pipeline: Pipeline, family: str) -> str:
        """The message when the pipeline serves no task."""
        name = pipeline.name
        return (
            f"{_cannot(name, family)}: it serves no task by itself. Load it with "
            f"{name}.from_pretrained or DiffusionPipeline.from_pretrained."
        )

    def no_condition(self, pipeline: Pipeline, family: str, keyword: str) -> str:
        """The message when no plugin provides the condition of a keyword."""
        dist = dist_of(keyword, "keyword")
        return (
            f"{_cannot(pipeline.name, family)} with {keyword}=. No installed plugin provides "
            f"{keyword}=." + (f" Run: {pip_line(dist)}" if dist else "") + self._problem_with(dist)
        )

    def no_cell(
        self,
        pipeline: Pipeline,
        family: str,
        cell: tuple[str, frozenset[str], Task],
        row: Mapping[str, Pipeline],
        conditions: Mapping[str, Condition],
    ) -> str:
        """The message when a cell is empty; `row` holds the pipelines of its row by task."""
        line, wanted, task = cell
        text = _cannot(pipeline.name, family)
        contested = self.settled.contested("cell", (line, wanted, str(task)))
        if contested is not None:
            return f"{text} for {task}: {contested}."
        if row:
            offered = ", ".join(sorted(f"{p.name} ({t})" for t, p in row.items()))
            return f"{text} for {task}. Available: {offered}."
        text += f" {'with ' + ' and '.join(sorted(wanted)) if wanted else 'without a condition'}."
        for keyword, condition in conditions.items():
            if condition.name in wanted:
                text += f" The installed plugins have no {keyword} pipelines for this family."
        owner = owner_of_family(line)
        if not wanted and line not in self.families and owner in published():
            text += f" It is in the package {owner}. Run: {pip_line(owner)}"
        return text

    def missing(self, name: str) -> str:
        """The message when a class is missing: why, and what to install."""
        for kind in ("pipeline", "name"):
            contested = self.settled.contested(kind, name)
            if contested is not None:
                return f"{contested}."
        dist = dist_of(name, "name")
        if dist is not None:
            trouble = self._problem_with(dist)
            return trouble.strip() or f"{name} is in the package {dist}. Run: {pip_line(dist)}"
        troubles = " ".join(
            f"A plugin that may offer it is not in use: {p}; see 'autopipe doctor'."
            for p in self.problems
            if p.kind in ("broken", "incompatible", "disabled")
        )
        known = [*self.settled.of("pipeline"), *self.settled.of("name")]
        hint = nearest(name, known)
        opening = f"No installed package provides {listed([name])}.{hint} "
        families = listed(sorted(self.families), 30) or "none"
        return opening + (
            troubles
            or f"Installed families: {families}. Install the package that has it, or start one "
            f"with 'autopipe new NAME'."
        )

    def no_entry(self, kind: str, name: str, known: Collection[str]) -> str:
        """The message when no plugin provides the add-on, engine, runner, command or reader."""
        contested = self.settled.contested(kind, name)
        if contested is not None:
            return f"{contested}."
        what = _KINDS.get(kind, kind)
        dist = dist_of(name, kind)
        text = f"there is no {what} {shown(name)}.{nearest(name, known)}"
        if dist is not None:
            return f"{text} It is in the package {dist}. Run: {pip_line(dist)}"
        return f"{text} Installed: {', '.join(sorted(known)) or 'none'}."

    def no_reader(self, origin: str, found: Collection[Reader]) -> str:
        """The message when no reader, or more than one, matches the layout of a file."""
        if found:
            names = " and ".join(sorted(reader.name for reader in found))
            return (
                f"the tensor names of {origin} match the layouts {names}; uninstall the plugin "
                f"that claims it wrongly, or load a checkpoint folder instead"
            )
        return (
            f"{origin} is a single file, and no installed plugin knows its layout. Convert it once "
            f"with diffusers: call from_single_file({shown(origin, 300)}) of its family's class, "
            f"then save_pretrained('FOLDER'), and load FOLDER"
        )

    def _problem_with(self, dist: str | None) -> str:
        return "".join(f" Note that {p}." for p in self.problems if dist == p.plugin.dist)


def _cannot(class_name: str, family: str | None) -> str:
    return f"AutoPipeline can't find a pipeline linked to {listed([class_name])} for {family}"
