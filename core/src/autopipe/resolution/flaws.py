"""Checks a manifest and describes each flaw in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..manifest import (
    API,
    EAGER,
    AddOn,
    Command,
    Component,
    Condition,
    Engine,
    Export,
    Manifest,
    Method,
    Module,
    Pipeline,
    Probe,
    Reader,
    Runner,
)
from ..tasks import KINDS, Input, Task
from ..wording import listed, shown

ENTRIES: Mapping[str, type] = {
    "tasks": Task,
    "pipelines": Pipeline,
    "components": Component,
    "conditions": Condition,
    "addons": AddOn,
    "engines": Engine,
    "runners": Runner,
    "commands": Command,
    "readers": Reader,
    "methods": Method,
    "modules": Module,
    "exports": Export,
    "probes": Probe,
}
"""The fields of a manifest that hold several entries, with the type of each."""

_WORD = re.compile(r"[a-z][a-z0-9_]{0,99}")

_LABEL = re.compile(r"\w[\w.+-]*", re.ASCII)
"""A name that can be typed on a command line."""

_OPTION = re.compile(r"(\w[\w-]*)?", re.ASCII)

_LONGEST = 100
"""The longest name of an entry, in characters. Names of Python and the Hub are far shorter."""


@dataclass(frozen=True)
class Earlier:
    """An API that an earlier release introduced.

    Attributes:
        change: what the author of a plugin must change.
        until: the release that no longer accepts it; None if this release doesn't.
    """

    change: str
    until: str | None = None


EARLIER: dict[int, Earlier] = {
    1: Earlier(
        "set api=2, require autopipe-core instead of autopipe, and let the project's tests require "
        "autopipe-devkit; pipelines may then give their tasks as plain names"
    )
}
"""The APIs before `API`, by number."""


def flaws(manifest: object) -> Iterator[str]:
    """Yield a sentence for each flaw of a manifest; nothing for a valid one."""
    if not isinstance(manifest, Manifest):
        yield (
            f"its hook must return an autopipe Family (a Manifest), not a {type(manifest).__name__}"
        )
        return
    if not is_accepted(manifest):
        earlier = _earlier(manifest)
        yield f"it was written for API {shown(manifest.api)} and this autopipe has API {API}; " + (
            f"its author must {earlier.change}"
            if earlier
            else "install versions of both that match"
        )
        return
    if not _is_identifier(manifest.name):
        yield f"its name {shown(manifest.name)} is not a Python identifier"
    wrong = list(_misshapen(manifest))
    yield from wrong or _inconsistent(manifest)


def is_accepted(manifest: Manifest) -> bool:
    """Whether this release accepts the API that a manifest was written for."""
    earlier = _earlier(manifest)
    return manifest.api == API or (earlier is not None and earlier.until is not None)


def api_deprecation(manifest: Manifest) -> str | None:
    """Return when the API of a valid manifest ends and what to change; None for the current API."""
    earlier = _earlier(manifest)
    if earlier is None:
        return None
    return (
        f"it was written for API {manifest.api}, which autopipe {earlier.until} no longer accepts; "
        f"its author must {earlier.change}"
    )


def _earlier(manifest: Manifest) -> Earlier | None:
    return EARLIER.get(manifest.api) if isinstance(manifest.api, int) else None


def _misshapen(manifest: Manifest) -> Iterator[str]:
    """Yield a sentence for each value that doesn't have its declared type."""
    for field, kind in ENTRIES.items():
        entries = getattr(manifest, field)
        if not isinstance(entries, tuple) or not all(isinstance(e, kind) for e in entries):
            yield f"its {field} must be a tuple of {kind.__name__}"
            continue
        for entry in entries:
            for name, value in vars(entry).items():
                if not _fits(field, name, value):
                    yield f"an entry of its {field} has the invalid {name} {shown(value)}"
    if not isinstance(manifest.demo, str | None):
        yield f"its demo {shown(manifest.demo)} is not of the form 'package:folder'"


def _fits(owner: str, field: str, value: Any) -> bool:
    """Whether `value` is valid for the field `field` of an entry in `owner`."""
    if field == "inputs":
        return _all(value, Input) and all(map(_is_input, value))
    if field == "samples":
        return isinstance(value, Mapping) and all(
            isinstance(name, str) and isinstance(two, tuple) and len(two) in (1, 2)
            for name, two in value.items()
        )
    if field == "conditions":
        return isinstance(value, frozenset) and all(isinstance(part, str) for part in value)
    if field in ("folders", "others", "aliases", "parameters", "also", "keys", "absent"):
        return _all(value, str) and bool(value or field != "keys")
    if field == "option":
        return isinstance(value, str) and bool(_OPTION.fullmatch(value))
    if field in ("flag", "only_own_lines"):
        return isinstance(value, bool)
    if field == "of":
        return value in ("pipeline", "network")
    if field == "kind":
        return value in ("model", "scheduler", "other")
    optional = ("task", "line", "opens_as", "needs", "demo", "protocol", "repeats")
    if field in optional or (owner == "conditions" and field == "target"):
        return isinstance(value, str | None)
    if field == "name" and owner in ("addons", "engines", "runners", "readers"):
        is_label = isinstance(value, str) and bool(_LABEL.fullmatch(value))
        return is_label and len(value) <= _LONGEST and (owner, value) != ("engines", EAGER)
    identifiers = ("pipelines", "components", "exports", "methods", "modules")
    if field == "keyword" or (field == "name" and owner in identifiers):
        return _is_identifier(value)
    return isinstance(value, str)


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier() and len(value) <= _LONGEST


def _is_input(one: Input) -> bool:
    texts = isinstance(one.option, str) and isinstance(one.help, str)
    shapes = texts and isinstance(one.required, bool) and isinstance(one.kind, str)
    named = shapes and _is_identifier(one.name) and bool(_OPTION.fullmatch(one.option))
    return named and one.kind in KINDS


def _all(values: object, kind: type) -> bool:
    return isinstance(values, tuple) and all(isinstance(one, kind) for one in values)


def _inconsistent(manifest: Manifest) -> Iterator[str]:
    """Yield a sentence for each contradiction; all values have their declared types."""
    for field in ENTRIES.keys() - {"probes"}:
        entries = getattr(manifest, field)
        names = [
            (getattr(e, "library", getattr(e, "of", "")), e if field == "tasks" else e.name)
            for e in entries
        ]
        for twice in sorted({n[1] for n in names if names.count(n) > 1}):
            yield f"its {field} name {listed([twice])} more than once"
    for module in manifest.modules:
        if not all(part.isidentifier() for part in module.target.split(".")):
            yield f"the target {shown(module.target)} of {listed([module.name])} is not a module"
    for field in ENTRIES.keys() - {"tasks", "modules"}:
        for entry in getattr(manifest, field):
            if entry.target is not None and not _is_target(entry.target):
                owner = getattr(entry, "name", "a probe")
                target = f"the target {shown(entry.target)} of {listed([owner])}"
                yield f"{target} is not of the form 'module:Class'"
    if manifest.demo is not None and not _is_demo(manifest.demo):
        yield f"its demo {shown(manifest.demo)} is not of the form 'package:folder'"
    for task in manifest.tasks:
        if not _WORD.fullmatch(task):
            name = shown(str(task))
            yield f"the task {name} must consist of lower-case letters, digits and underscores"
        if not re.fullmatch(r"AutoPipelineFor[A-Z]\w*", task.auto_class):
            yield (
                f"the Auto class {shown(task.auto_class)} of the task {task} must be named "
                f"AutoPipelineFor..."
            )
        known = {*task.parameters, *(one.name for one in task.inputs)}
        # A pipeline may do without what no call of the task needs.
        needed = {one.name for one in task.inputs if one.required}
        for name in sorted(needed - {*task.parameters}):
            yield f"the task {task} has the input {name}, which its parameters don't name"
        for name in sorted(set(task.samples) - known):
            samples = f"the task {task} has samples for {listed([name])}"
            yield f"{samples}, which its parameters don't name"
    for command in manifest.commands:
        if not _WORD.fullmatch(command.name.replace("-", "_")):
            name = shown(command.name)
            yield f"the command {name} must consist of lower-case letters, digits and dashes"
    for pipeline in manifest.pipelines:
        if (pipeline.task is None) != (pipeline.line is None):
            yield f"{pipeline.name} must give both a task and a line, or neither"
        if pipeline.task is None and pipeline.also:
            yield f"{pipeline.name} has further tasks but no primary one"
        if pipeline.needs is not None and not pipeline.needs.isidentifier():
            yield f"{pipeline.name} needs {shown(pipeline.needs)}, which is not a keyword"
        if pipeline.needs is not None and pipeline.opens_as is None:
            yield f"{pipeline.name} needs {pipeline.needs} and must also set opens_as"
    cells = [(p.line, p.conditions, name) for p in manifest.pipelines for name in p.tasks]
    for line, conditions, name in sorted({c for c in cells if cells.count(c) > 1}, key=str):
        yield (
            f"two of its pipelines are in one cell of the table "
            f"(line {shown(line)}, conditions {shown(sorted(conditions))}, task {shown(str(name))})"
        )


def _is_target(target: str) -> bool:
    module, colon, attribute = target.partition(":")
    return bool(colon) and _is_module(module) and attribute.isidentifier()


def _is_demo(demo: str) -> bool:
    package, colon, folder = demo.partition(":")
    return bool(colon and folder) and _is_module(package) and "\0" not in folder


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
