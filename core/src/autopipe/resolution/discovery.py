"""Reads the manifests of installed distributions from their entry points, each in isolation.

A plugin that can't be used becomes a `Problem`; the others stay in use. Environment variables are
read before any import: `AUTOPIPE_DISABLE` lists plugins to leave out, and `AUTOPIPE_PLUGINS`, if
set, lists the only ones to use; both hold comma-separated names of entry points or distributions.
`AUTOPIPE_STRICT=1` raises the first problem as an exception. `AUTOPIPE_DEBUG=1` prints the name of
each plugin to stderr before its import, so that the last one is the one that hangs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pluggy
from importlib_metadata import EntryPoint

from ..errors import PluginError
from ..hooks import ENTRY_POINT_GROUP, PROJECT, Hooks
from ..manifest import Manifest
from ..wording import clean, cut
from .deprecation import noted
from .flaws import api_deprecation, flaws, is_accepted
from .guard import guarded
from .packages import packages_with, plain


@dataclass(frozen=True)
class Plugin:
    """Where a manifest comes from: the entry point's name, the distribution and its version."""

    name: str
    dist: str
    version: str

    def __str__(self) -> str:
        parts = (cut(clean(part, keep="")) for part in (self.name, self.dist, self.version))
        return "{} ({} {})".format(*parts)


@dataclass(frozen=True)
class Installed:
    """A manifest and the plugin that provides it.

    Attributes:
        deprecations: a sentence for each thing it uses that a later release removes.
    """

    plugin: Plugin
    manifest: Manifest
    deprecations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Why an installed plugin, or one of its entries, is not in use.

    Attributes:
        folders: folders to delete before the plugin is reinstalled, because pip can't delete them.
    """

    plugin: Plugin
    kind: Literal["disabled", "broken", "incompatible", "duplicate", "missing"]
    reason: str
    folders: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"the plugin {self.plugin} is {self.kind}: {clean(self.reason)}"


def discover(
    found: Iterable[EntryPoint] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[tuple[Installed, ...], tuple[Problem, ...]]:
    """Return the usable plugins and the problems of all others, in a stable order.

    Raises:
        PluginError: if `AUTOPIPE_STRICT` is set and a plugin has a problem (other than disabled).
    """
    environ = os.environ if environ is None else environ
    installed = _installed() if found is None else [(_plugin(point), point) for point in found]
    outcomes = [
        point if isinstance(point, Problem) else _load_one(plugin, point, environ)
        for plugin, point in sorted(installed, key=_order)
    ]
    problems = tuple(one for one in outcomes if isinstance(one, Problem))
    raise_if_strict(problems, environ)
    return tuple(one for one in outcomes if isinstance(one, Installed)), problems


def raise_if_strict(problems: Iterable[Problem], environ: Mapping[str, str] | None = None) -> None:
    """Raise the first problem other than a disabled plugin, if `AUTOPIPE_STRICT` is set.

    Raises:
        PluginError: if there is such a problem and the variable is set.
    """
    if _is_set(os.environ if environ is None else environ, "AUTOPIPE_STRICT"):
        for problem in problems:
            if problem.kind != "disabled":
                raise PluginError(f"{problem} (AUTOPIPE_STRICT is set)")


def _installed() -> Iterator[tuple[Plugin, EntryPoint | Problem]]:
    """Yield the installed entry points, and a problem for each damaged distribution."""
    for package in packages_with(ENTRY_POINT_GROUP):
        for point in package.points:
            yield Plugin(point.name, package.name, package.version), point
        if package.damage is not None:
            plugin = Plugin(package.name, package.name, package.version)
            yield plugin, Problem(plugin, "broken", package.damage, package.folders)


def _plugin(point: EntryPoint) -> Plugin:
    dist = point.dist
    return Plugin(point.name, dist.name if dist else "unknown", dist.version if dist else "unknown")


def _order(found: tuple[Plugin, EntryPoint | Problem]) -> tuple[str, str, str]:
    return found[0].name, found[0].dist, str(getattr(found[1], "value", ""))


def _names(environ: Mapping[str, str], variable: str) -> frozenset[str] | None:
    text = environ.get(variable)
    return None if text is None else frozenset(plain(n) for n in text.split(",") if n.strip())


def _is_set(environ: Mapping[str, str], variable: str) -> bool:
    return environ.get(variable, "") not in ("", "0")


def _load_one(plugin: Plugin, point: EntryPoint, environ: Mapping[str, str]) -> Installed | Problem:
    called = {plain(plugin.name), plain(plugin.dist)}
    if called & (_names(environ, "AUTOPIPE_DISABLE") or frozenset()):
        return Problem(plugin, "disabled", "AUTOPIPE_DISABLE names it")
    allowed = _names(environ, "AUTOPIPE_PLUGINS")
    if allowed is not None and not called & allowed:
        return Problem(plugin, "disabled", "AUTOPIPE_PLUGINS does not name it")
    try:
        if _is_set(environ, "AUTOPIPE_DEBUG"):
            print(f"autopipe: importing the plugin {plugin}", file=sys.stderr, flush=True)
        with noted() as deprecations, guarded(PluginError, ours=False):
            manifest = _ask(plugin, point.load())
            wrong = list(flaws(manifest))
    except KeyboardInterrupt:
        print(f"autopipe: stopped while importing the plugin {plugin}", file=sys.stderr)
        raise
    except PluginError as error:
        return Problem(plugin, "broken", str(error))
    if wrong:
        incompatible = isinstance(manifest, Manifest) and not is_accepted(manifest)
        return Problem(plugin, "incompatible" if incompatible else "broken", "; ".join(wrong))
    assert isinstance(manifest, Manifest)
    ending = api_deprecation(manifest)
    return Installed(plugin, manifest, (*([ending] if ending else ()), *deprecations))


def _ask(plugin: Plugin, module: object) -> object:
    """Call the hook of one plugin through its own manager, so that plugins stay isolated."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(module, name=plugin.name)
    manager.check_pending()
    results = manager.hook.autopipe_family()
    if len(results) != 1:
        raise LookupError(
            "its module must implement the hook 'autopipe_family' and return a Family"
        )
    return results[0]
