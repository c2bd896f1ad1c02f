"""The registry: which class serves which checkpoint for which task.

Every installed plugin declares its pipelines as cells of one table:

    row                                text2image        image2image       inpaint
    line "sd"                          SDPipeline        SDImg2Img...      SDInpaint...
    line "sd", condition "controlnet"  SDControlNet...   SDControlNet...   SDControlNet...

A *line* is a kind of checkpoint, a *condition* is something that a keyword adds from outside, and
the columns are the installed tasks. Resolution finds the row of a class, changes its conditions as
the caller asks, and reads the cell of the task. Nothing is derived from the spelling of a class
name. If two plugins claim one name, `resolution.claims` decides which of them provides it.

A registry is immutable. The default one is filled once per process, from the entry points of the
installed distributions; this module exposes its `families`, `tasks`, `problems` and `resolve`.
`register` replaces it with one that has another plugin. Nothing here imports a plugin's code;
targets do that on first use.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .errors import MissingPluginError, PluginError, UnsupportedCheckpointError
from .manifest import Condition, Manifest, Pipeline, Reader
from .resolution.claims import Settled, lacking
from .resolution.classes import Classes
from .resolution.discovery import Installed, Plugin, Problem, discover, raise_if_strict
from .resolution.explanations import Explanations
from .resolution.flaws import flaws
from .resolution.hints import dist_of
from .resolution.lock import held
from .resolution.methods import add_receiver, bring_all
from .resolution.own import OWN
from .resolution.targets import load_target
from .tasks import Task


@dataclass(frozen=True)
class Resolution:
    """The result of `resolve`: the pipeline to use, the plugin that provides it, and why."""

    pipeline: Pipeline
    plugin: Plugin
    family: str
    reason: str

    def load_class(self) -> type:
        """Import the pipeline class."""
        cls: type = load_target(self.pipeline.target)
        return cls


class Registry(Classes):
    """An immutable table of plugins. The module's docstring says how it is read.

    Args:
        installed: the plugins; the core itself is added to them.
        problems: the problems of plugins that could not be read.

    Attributes:
        families: the manifests, by the name of their plugin.
        plugins: the plugins, by the same names.
        conditions: the conditions, by keyword.
        problems: all problems of the installed plugins.
    """

    def __init__(self, installed: Iterable[Installed] = (), problems: Iterable[Problem] = ()):
        self.installed = tuple(installed)
        everything = (OWN, *self.installed)
        settled = Settled(everything)
        named = {n: c.installed for n, c in settled.of("family").items() if c.installed is not OWN}
        self.families = MappingProxyType({name: one.manifest for name, one in named.items()})
        self.plugins = MappingProxyType({name: one.plugin for name, one in named.items()})
        super().__init__(everything, settled)
        self._cells = settled.of("cell")
        self._tasks = {
            name: reduce(Task.united, (c.entry for c in settled.shared("task", name)))
            for name in settled.of("task")
        }
        self.conditions: Mapping[str, Condition] = self.of("keyword")
        undeclared = lacking(self.installed, self._tasks)
        self.problems: tuple[Problem, ...] = (*problems, *settled.problems, *undeclared)
        self._explain = Explanations(self.problems, settled, self.families)

    # Contents

    @property
    def tasks(self) -> Mapping[Task, tuple[Pipeline, ...]]:
        """The pipelines that serve each task."""
        found = [claim.entry for claim in self._pipelines.values()]
        return MappingProxyType(
            {task: tuple(p for p in found if task in p.tasks) for task in self._tasks.values()}
        )

    def of(self, kind: str) -> Mapping[str, Any]:
        """The entries of a kind, by name.

        Kinds are `"addon"`, `"engine"`, `"runner"`, `"command"`, `"reader"`, `"module"`,
        `"pipeline method"` and `"network method"`.
        """
        return MappingProxyType({n: c.entry for n, c in self._settled.of(kind).items()})

    def entry(self, kind: str, name: str) -> Any:
        """Return the entry of a kind by name, such as `entry("engine", "compile")`.

        Raises:
            MissingPluginError: if no installed plugin provides it, or several define it
                differently.
        """
        entries = self.of(kind)
        if name not in entries:
            raise MissingPluginError(self._explain.no_entry(kind, name, entries))
        return entries[name]

    def provider(self, kind: str, name: str) -> Plugin | None:
        """Return the plugin that provides the entry of a kind, or None."""
        claim = self._settled.of(kind).get(name)
        return None if claim is None else claim.installed.plugin

    def names(self) -> list[str]:
        """All public names that the installed plugins add to `autopipe`."""
        return sorted(self._settled.of("name"))

    def target(self, name: str) -> str | None:
        """Return the target of a public name, or None."""
        claim = self._settled.of("name").get(name)
        return None if claim is None else str(claim.entry)

    def reader(self, keys: Collection[str], origin: str) -> Reader:
        """Return the reader for a single-file checkpoint with the tensor names `keys`.

        Args:
            origin: the file, for messages.

        Raises:
            UnsupportedCheckpointError: if no reader matches its layout, or several do.
        """
        present = set(keys)
        found: list[Reader] = [o for o in self.of("reader").values() if o.matches(present)]
        if len(found) != 1:
            raise UnsupportedCheckpointError(self._explain.no_reader(origin, found))
        return found[0]

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
            task: the requested task; None keeps the class as it is.
            conditions: the keywords that the caller gave, such as `{"controlnet": True}`; False
                asks for the row without that condition. Other conditions stay as they are.

        Raises:
            UnsupportedCheckpointError: if no installed pipeline fits; the message says what would.
        """
        claim = self._pipelines.get(class_name)
        if claim is None:
            raise UnsupportedCheckpointError(self._explain.unknown(class_name))
        pipeline, plugin = claim.entry, claim.installed.plugin
        family = claim.installed.manifest.name
        names = set(pipeline.conditions)
        for keyword, present in (conditions or {}).items():
            if condition := self.conditions.get(keyword):
                (names.add if present else names.discard)(condition.name)
            elif present:
                message = self._explain.no_condition(pipeline, family, keyword)
                raise UnsupportedCheckpointError(message)
        wanted = frozenset(names)
        if task is None:
            if wanted == pipeline.conditions:
                return Resolution(pipeline, plugin, family, f"the checkpoint names {class_name}")
            task = pipeline.task
        line = pipeline.opens_as or pipeline.line
        if task is None or line is None:
            raise UnsupportedCheckpointError(self._explain.no_task(pipeline, family))
        task = self.task(task)
        found = self._cells.get((line, wanted, str(task)))
        if found is None:
            cells = self._cells.items()
            row = {key[2]: claim.entry for key, claim in cells if key[:2] == (line, wanted)}
            raise UnsupportedCheckpointError(
                self._explain.no_cell(pipeline, family, (line, wanted, task), row, self.conditions)
            )
        with_conditions = f" with {' and '.join(sorted(wanted))}" if wanted else ""
        return Resolution(
            found.entry,
            found.installed.plugin,
            found.installed.manifest.name,
            f"{class_name} is in the line {line}, whose pipeline for {task}"
            f"{with_conditions} is {found.entry.name}",
        )

    def task(self, name: Task | str) -> Task:
        """Return the task called `name`; all spellings that `Task.parse` accepts are accepted.

        Raises:
            ArgumentError: if there is no such task.
        """
        return self._tasks.get(str(name)) or Task.parse(name)

    def is_condition(self, keyword: str) -> bool:
        """Whether `keyword` belongs to a condition of an installed or installable plugin."""
        return keyword in self.conditions or dist_of(keyword, "keyword") is not None

    def explain_missing(self, class_name: str) -> str:
        """Return why `class_name` is missing and what to do: a broken plugin, or the pip line."""
        return self._explain.missing(class_name)

    def is_unheard_of(self, name: str) -> bool:
        """Whether no plugin, installed or published by this project, provides `name`."""
        contested = self._settled.contested("name", name)
        return self.target(name) is None and contested is None and dist_of(name, "name") is None

    def load(self, name: str) -> Any:
        """Import the object with the public name `name`.

        Raises:
            MissingPluginError: if no installed plugin provides it, or several define it
                differently.
        """
        target = self.target(name)
        if target is None:
            raise MissingPluginError(f"{name} can't be imported. {self.explain_missing(name)}")
        return load_target(target)


_lock = threading.RLock()
_default: Registry | None = None
_is_building = False


def default_registry() -> Registry:
    """Return the registry of the installed distributions, built on first use.

    Raises:
        PluginError: if a manifest uses the registry while it is being built, or another thread
            takes too long to build it.
    """
    global _default, _is_building
    if _default is None:
        with held(_lock):
            if _is_building:
                raise PluginError(
                    "a manifest used the registry, which exists only after all manifests are "
                    "read; name tasks by plain strings there, such as 'upscale'"
                )
            if _default is None:
                _is_building = True
                try:
                    built = Registry(*discover())
                    raise_if_strict(built.problems)
                    _default = built
                    bring_all(_entries)
                finally:
                    _is_building = False
    return _default


def _entries(kind: str) -> Mapping[str, Any]:
    return default_registry().of(kind)


def receive(cls: type, kind: str) -> None:
    """Give `cls` the methods of a kind that the installed plugins bring, now and later.

    While the default registry is being built, they come when it is complete.

    Args:
        kind: `"pipeline method"` or `"network method"`.
    """
    add_receiver(cls, kind)
    if not _is_building:
        bring_all(_entries)


def register(manifest: Manifest) -> None:
    """Add a plugin's manifest to the default registry of this process.

    For notebooks and experiments: targets may name classes of `__main__`. Other processes,
    including workers, don't see it; they need an installed package. Registering the same manifest
    again changes nothing.

    Raises:
        PluginError: if the manifest is invalid, or conflicts with the claims of another plugin.
    """
    global _default
    wrong = "; ".join(flaws(manifest))
    if wrong:
        raise PluginError(f"the family can't be registered: {wrong}")
    default_registry()
    with held(_lock):
        assert _default is not None
        known = _default.families.get(manifest.name)
        if known == manifest and list(map(vars, known.tasks)) == list(map(vars, manifest.tasks)):
            return
        before = _default
        new = Installed(Plugin(manifest.name, "registered at run time", "-"), manifest)
        unread = [p for p in before.problems if p.kind in ("disabled", "broken", "incompatible")]
        after = Registry([*before.installed, new], unread)
        added = [p for p in after.problems if p not in before.problems]
        if added:
            reason = added[0].reason.partition(". Set ")[0]
            raise PluginError(f"the family can't be registered: {reason}")
        _default = after
        bring_all(_entries)


def resolve(
    class_name: str,
    task: Task | str | None = None,
    conditions: Mapping[str, bool] | None = None,
) -> Resolution:
    """`Registry.resolve` of the default registry."""
    return default_registry().resolve(class_name, task, conditions)


if TYPE_CHECKING:
    families: Mapping[str, Manifest]
    tasks: Mapping[Task, tuple[Pipeline, ...]]
    problems: tuple[Problem, ...]


def __getattr__(name: str) -> Any:
    if name in ("families", "tasks", "problems"):
        return getattr(default_registry(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
