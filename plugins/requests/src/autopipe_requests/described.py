"""Descriptions of arguments and fields from docstrings.

A docstring may send its reader to another class: "All other parameters are those of `Other`", or
for one parameter, "as for `Other`". Such a class is looked up in
the module, in the package, and among the public names.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target

_HEADS = ("Args:", "Attributes:", "Parameters:")
_ENTRY = re.compile(r"(\w+(?:, \w+)*)(?: ?\([^)]*\))?:(?: (.*))?")
_OTHER = re.compile(r"`([A-Za-z_]\w+)`(?:, if they begin with `(\w+_)`)?")
_AS_FOR = re.compile(r"as for `(\w+)`")
_LONGEST = 600


def description_of(cls: type, name: str) -> str:
    """Return what docstrings say about an argument of `cls.__call__`, or a field of `cls`.

    Empty if they say nothing.
    """
    found = _described(cls, name, frozenset())
    return found if len(found) <= _LONGEST else f"{found[: _LONGEST - 3]}..."


def _described(cls: type, name: str, seen: frozenset[tuple[type, str]]) -> str:
    if (cls, name) in seen:
        return ""
    seen |= {(cls, name)}
    own, others = _read(cls)
    if name in own:
        same = _AS_FOR.match(own[name])
        other = _class(same[1], cls) if same else None
        return (_described(other, name, seen) if other else "") or own[name]
    for called, prefix in others:
        other = _class(called, cls) if name.startswith(prefix) else None
        if other and (found := _described(other, name.removeprefix(prefix), seen)):
            return found
    return ""


@functools.lru_cache(maxsize=1024)
def _read(cls: type) -> tuple[Mapping[str, str], list[tuple[str, str]]]:
    """Return the descriptions, and the names of other classes, each with a prefix of names."""
    own: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    for text in (inspect.getdoc(cls.__call__), inspect.getdoc(cls)):
        lines = (text or "").splitlines()
        start = next((i for i, line in enumerate(lines) if line.strip() in _HEADS), len(lines))
        others += _OTHER.findall(" ".join(line.strip() for line in lines[:start]))
        for names, about in _entries(lines[start + 1 :]):
            own |= {name: about for name in names.split(", ") if name not in own}
    return own, others


def _entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the names and the text of each entry of a section, which begins with `lines`."""
    indent = next((len(line) - len(line.lstrip()) for line in lines if line.strip()), 0)
    names, about = "", [""]
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line.strip() and (depth == 0 or depth < indent):
            break
        entry = _ENTRY.fullmatch(line.strip()) if depth == indent else None
        if entry:
            if names:
                yield names, " ".join(about).strip()
            names, about = entry[1], [entry[2] or ""]
        else:
            about.append(line.strip())
    if names:
        yield names, " ".join(about).strip()


def _in_package(name: str, cls: type) -> Any:
    """Return the class of this name that a loaded module of the package of `cls` defines."""
    package = cls.__module__.partition(".")[0]
    modules = [m for called, m in [*sys.modules.items()] if called.startswith(f"{package}.")]
    found = (vars(one).get(name) for one in modules if hasattr(one, "__dict__"))
    return next((one for one in found if isinstance(one, type)), None)


@functools.lru_cache(maxsize=4096)
def _class(name: str, cls: type) -> Any:
    """Return the class that a docstring of `cls` calls `name`, or None."""
    scope = getattr(inspect.unwrap(cls.__call__), "__globals__", {})
    known = {one.__name__: one for one in cls.__mro__}
    found = scope.get(name, known.get(name)) or _in_package(name, cls)
    if found is None and (target := default_registry().target(name)):
        with suppress(Exception):  # its package may lack a dependency
            found = load_target(target)
    return found if isinstance(found, type) else None
