"""Which plugin provides a name, when several installed plugins claim it.

One rule holds for every kind of entry. Plugins that make the same claim share the name. Different
claims for one name are resolved for that name alone: first by `AUTOPIPE_PREFER`, in which the user
lists distributions, then by the table of what this project publishes. Otherwise no claim is used.
The other entries of these plugins stay in use.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..manifest import Component, Export, Pipeline
from .discovery import Installed, Problem
from .hints import CORE, is_published, published
from .packages import plain

PREFER = "AUTOPIPE_PREFER"

_IN_LINE = "component of line"

_DERIVED = ("name", "keyword", "cell", _IN_LINE)
"""Kinds of names that follow from an entry that is itself claimed."""


@dataclass(frozen=True)
class Claim:
    """One plugin's definition of a name.

    Attributes:
        kind: the kind of entry, for messages: `"pipeline"`, `"task"`, ...
        name: the claimed name, unique within its kind.
        content: what the claim says; equal for equal claims.
        entry: the manifest's entry.
        installed: the plugin that makes the claim.
    """

    kind: str
    name: Hashable
    content: Any
    entry: Any
    installed: Installed

    @property
    def entry_name(self) -> str:
        """The name of the manifest's entry."""
        name = self.name if self.kind == "name" else getattr(self.entry, "name", self.name)
        return str(name)

    @property
    def text(self) -> str:
        """A description of the claimed name, for messages."""
        parts = self.name if isinstance(self.name, tuple) else (self.name,)
        words = ("+".join(sorted(p)) if isinstance(p, frozenset) else str(p) for p in parts)
        return " ".join([self.kind, *filter(None, words)])


def claims(installed: Installed) -> Iterator[Claim]:
    """Yield every claim of one plugin."""
    manifest = installed.manifest

    def claim(kind: str, name: Hashable, content: Any, entry: Any) -> Claim:
        return Claim(kind, name, content, entry, installed)

    yield claim("family", manifest.name, manifest, manifest)
    for task in manifest.tasks:
        yield claim("task", str(task), task.claim, task)
        yield claim("name", task.auto_class, str(task), f"autopipe.auto:{task.auto_class}")
    for pipeline in manifest.pipelines:
        yield claim("pipeline", pipeline.name, pipeline, pipeline)
        for served in pipeline.tasks:
            cell = pipeline.line, pipeline.conditions, str(served)
            yield claim("cell", cell, (pipeline.name, pipeline.target), pipeline)
    for component in manifest.components:
        if component.is_public:
            pair = component.library, component.name
            yield claim("component", pair, (component.target, component.kind), component)
        for line in manifest.own_lines:
            place = line, component.library, component.name
            yield claim(_IN_LINE, place, (component.target, component.kind), component)
    for condition in manifest.conditions:
        yield claim("condition", condition.name, condition, condition)
        yield claim("keyword", condition.keyword, condition, condition)
    for field in ("addons", "engines", "runners", "commands", "readers"):
        for one in getattr(manifest, field):
            yield claim(field.removesuffix("s"), one.name, one, one)
    for method in manifest.methods:
        yield claim(f"{method.of} method", method.name, method, method)
    for module in manifest.modules:
        yield claim("module", module.name, module, module)
    public = [c for c in manifest.components if c.is_public]
    entries: tuple[Pipeline | Component | Export, ...]
    entries = (*manifest.pipelines, *public, *manifest.exports)
    for entry in entries:
        yield claim("name", entry.name, entry.target, entry.target)


def lacking(installed: Collection[Installed], tasks: Container[str]) -> Iterator[Problem]:
    """Yield a problem for each task that an installed pipeline serves and `tasks` lacks."""
    lines = {line for one in installed for line in one.manifest.own_lines}
    for one in installed:
        for pipeline in one.manifest.pipelines:
            if pipeline.conditions and pipeline.line not in lines:
                continue  # A row of a family that isn't installed; so its tasks may be missing.
            for task in pipeline.tasks:
                if task not in tasks:
                    reason = f"{pipeline.name} serves the task {task}, which is not declared"
                    yield Problem(one.plugin, "missing", f"{reason} by any installed plugin")


class Settled:
    """The claims of all plugins, with the winner of each name, if there is one.

    Attributes:
        problems: one for each name with conflicting claims.
    """

    def __init__(
        self, everything: Iterable[Installed], environ: Mapping[str, str] | None = None
    ) -> None:
        chosen = _preferred(os.environ if environ is None else environ)
        found: dict[tuple[str, Hashable], list[Claim]] = {}
        for installed in everything:
            for claim in claims(installed):
                found.setdefault((claim.kind, claim.name), []).append(claim)
        self._winners: dict[str, dict[Any, list[Claim]]] = {}
        self._contested: dict[tuple[str, Hashable], str] = {}
        reported: set[str] = set()
        problems: list[Problem] = []
        # Derived names come last: their conflict usually repeats that of their entry.
        for (kind, name), rivals in sorted(found.items(), key=lambda item: item[0][0] in _DERIVED):
            winners = rivals
            if any(claim.content != rivals[0].content for claim in rivals):
                winners = _winners(rivals, chosen)
                problem = _problem(rivals, winners)
                self._contested[kind, name] = problem.reason
                names = {claim.entry_name for claim in rivals}
                if kind not in _DERIVED or not names <= reported:
                    problems.append(problem)
                reported |= names
            if winners:
                self._winners.setdefault(kind, {})[name] = winners
        self.problems = tuple(problems)

    def of(self, kind: str) -> dict[Any, Claim]:
        """The winning claims of one kind, by name."""
        return {name: claims[0] for name, claims in self._winners.get(kind, {}).items()}

    def shared(self, kind: str, name: Hashable) -> list[Claim]:
        """All winning claims of a name; they are equal."""
        return self._winners.get(kind, {}).get(name, [])

    def component_of(self, line: str | None, library: str, name: str) -> Component | None:
        """The component that the plugins of `line` define for an index entry, or None."""
        claims = self._winners.get(_IN_LINE, {}).get((line, library, name))
        return claims[0].entry if claims else None

    def contested(self, kind: str, name: Hashable) -> str | None:
        """The reason text of a name's conflicting claims; None if they don't conflict."""
        return self._contested.get((kind, name))


def _preferred(environ: Mapping[str, str]) -> list[str]:
    return [plain(name) for name in environ.get(PREFER, "").split(",") if name.strip()]


def _winners(rivals: list[Claim], chosen: list[str]) -> list[Claim]:
    """The claims that win; empty if the conflict can't be resolved.

    The core always wins, because programs use constants for what it declares.
    """
    by_dist = {plain(claim.installed.plugin.dist): claim for claim in reversed(rivals)}
    ours = [
        d
        for d, claim in by_dist.items()
        if is_published(claim.installed.plugin.dist, claim.entry_name)
        or (claim.kind == _IN_LINE and claim.installed.plugin.dist in published())
    ]
    for dist in (CORE, *chosen, *ours):
        if dist in by_dist:
            return [one for one in rivals if one.content == by_dist[dist].content]
    return []


def _problem(rivals: list[Claim], winners: list[Claim]) -> Problem:
    loser = next(claim for claim in rivals if claim not in winners)
    others = [c.installed.plugin for c in rivals if c.content != loser.content]
    dists = ", ".join(dict.fromkeys(claim.installed.plugin.dist for claim in rivals))
    used = f"the one of {winners[0].installed.plugin} is used" if winners else "neither is used"
    return Problem(
        loser.installed.plugin,
        "duplicate",
        f"{loser.text} is defined differently by {' and '.join(map(str, dict.fromkeys(others)))}; "
        f"{used}. Set {PREFER}=<package> (one of {dists}) to choose, or uninstall one of them",
    )
