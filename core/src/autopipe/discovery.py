"""From the entry points of installed distributions to families, each plugin isolated.

Errors are values here: a plugin that can't be used becomes a `Problem` and the others go on.
The environment decides before anything is imported: `AUTOPIPE_DISABLE` lists plugins to leave
out, `AUTOPIPE_PLUGINS`, if set, the only ones to take; both are comma-separated names of entry
points or distributions. `AUTOPIPE_STRICT=1` turns the first problem into an exception, and
`AUTOPIPE_DEBUG=1` names every plugin on stderr before it is imported: one that hangs is the last.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import pluggy
from importlib_metadata import entry_points

from .errors import PluginError
from .hints import owner_of_family
from .hooks import ENTRY_POINT_GROUP, PROJECT, Hooks
from .manifest import Family, flaws


@dataclass(frozen=True)
class Plugin:
    """Where a family comes from: the entry point's name, the distribution and its version."""

    name: str
    dist: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.dist} {self.version})"


@dataclass(frozen=True)
class Installed:
    """A family and the plugin that offers it."""

    plugin: Plugin
    family: Family


@dataclass(frozen=True)
class Problem:
    """A plugin that is installed but not in use, and why."""

    plugin: Plugin
    kind: Literal["disabled", "broken", "incompatible", "duplicate"]
    reason: str

    def __str__(self) -> str:
        return f"the plugin {self.plugin} is {self.kind}: {self.reason}"


class _Distribution(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


class EntryPointLike(Protocol):
    """What discovery needs of an entry point; tests make their own."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def dist(self) -> _Distribution | None: ...
    def load(self) -> object: ...


def discover(
    found: Iterable[EntryPointLike] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[tuple[Installed, ...], tuple[Problem, ...]]:
    """The usable families and the problems of all others, in a stable order.

    Raises:
        PluginError: there is a problem (other than a disabled plugin) and `AUTOPIPE_STRICT` is set.
    """
    environ = os.environ if environ is None else environ
    points = entry_points(group=ENTRY_POINT_GROUP) if found is None else found
    outcomes = [_load_one(point, environ) for point in _in_order(points)]
    families, problems = without_duplicates(outcomes)
    if _is_set(environ, "AUTOPIPE_STRICT"):
        for problem in problems:
            if problem.kind != "disabled":
                raise PluginError(f"{problem} (AUTOPIPE_STRICT is set)")
    return families, problems


def _plugin(point: EntryPointLike) -> Plugin:
    dist = point.dist
    return Plugin(point.name, dist.name if dist else "unknown", dist.version if dist else "unknown")


def _in_order(points: Iterable[EntryPointLike]) -> list[EntryPointLike]:
    """Sorted by name and distribution, the one that this project publishes first."""

    def key(point: EntryPointLike) -> tuple[str, bool, str, str]:
        plugin = _plugin(point)
        return plugin.name, plugin.dist != owner_of_family(plugin.name), plugin.dist, point.value

    return sorted(points, key=key)


def _names(environ: Mapping[str, str], variable: str) -> frozenset[str] | None:
    text = environ.get(variable)
    return None if text is None else frozenset(_plain(n) for n in text.split(",") if n.strip())


def _plain(name: str) -> str:
    """A name of a package, or of an entry point, in the one spelling of all that mean the same."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _is_set(environ: Mapping[str, str], variable: str) -> bool:
    return environ.get(variable, "") not in ("", "0")


def _load_one(point: EntryPointLike, environ: Mapping[str, str]) -> Installed | Problem:
    plugin = _plugin(point)
    called = {_plain(plugin.name), _plain(plugin.dist)}
    if called & (_names(environ, "AUTOPIPE_DISABLE") or frozenset()):
        return Problem(plugin, "disabled", "AUTOPIPE_DISABLE names it")
    allowed = _names(environ, "AUTOPIPE_PLUGINS")
    if allowed is not None and not called & allowed:
        return Problem(plugin, "disabled", "AUTOPIPE_PLUGINS does not name it")
    try:
        if _is_set(environ, "AUTOPIPE_DEBUG"):
            print(f"autopipe: importing the plugin {plugin}", file=sys.stderr, flush=True)
        family = _ask(plugin, point.load())
        wrong = list(flaws(family))
    except KeyboardInterrupt:
        print(f"autopipe: stopped while importing the plugin {plugin}", file=sys.stderr)
        raise
    except (Exception, SystemExit) as error:
        return Problem(plugin, "broken", f"{type(error).__name__}: {error}")
    if wrong:
        incompatible = isinstance(family, Family) and "interface" in wrong[0]
        return Problem(plugin, "incompatible" if incompatible else "broken", "; ".join(wrong))
    assert isinstance(family, Family)
    return Installed(plugin, family)


def _ask(plugin: Plugin, module: object) -> object:
    """Call the hook of one plugin, through a manager of its own so that none can see another."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(module, name=plugin.name)
    manager.check_pending()
    results = manager.hook.autopipe_family()
    if len(results) != 1:
        raise PluginError("its module implements no hook 'autopipe_family' that returns a Family")
    return results[0]


def without_duplicates(
    outcomes: Iterable[Installed | Problem],
) -> tuple[tuple[Installed, ...], tuple[Problem, ...]]:
    """Keep the first of each name; a later plugin that claims a taken name becomes a problem."""
    kept: list[Installed] = []
    problems: list[Problem] = []
    taken: dict[tuple[str, ...], Plugin] = {}
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            problems.append(outcome)
            continue
        claims = list(_claims(outcome.family))
        clash = next((claim for claim in claims if claim in taken), None)
        if clash is not None:
            first = taken[clash]
            problems.append(
                Problem(
                    outcome.plugin,
                    "duplicate",
                    f"{' '.join(clash)} is already offered by {first}; uninstall one of the two",
                )
            )
            continue
        taken.update(dict.fromkeys(claims, outcome.plugin))
        kept.append(outcome)
    return tuple(kept), tuple(problems)


def _claims(family: Family) -> Iterable[tuple[str, ...]]:
    yield "family", family.name
    for pipeline in family.pipelines:
        yield "pipeline", pipeline.name
        if pipeline.task is not None:
            conditions = "+".join(sorted(pipeline.conditions))
            yield "cell", str(pipeline.line), conditions, pipeline.task.value
    for component in family.components:
        yield "component", component.library, component.name
    for condition in family.conditions:
        yield "condition", condition.name
        yield "keyword", condition.keyword
