"""`autopipe doctor`: finds what is broken in an installation, and says how to fix it."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from ..registry import Registry
from ..resolution.claims import PREFER
from ..resolution.discovery import Plugin, Problem, discover
from ..resolution.hints import CORE, dist_of, pip_line
from ..resolution.packages import plain, providers
from ..resolution.version import __version__
from .command import Run, explain, show
from .families import no_family_hint
from .requirements import Requirement, requirements
from .text import counted, paragraph, table

ABOUT = (
    "Look for plugins that are broken, incompatible or disabled, for names that two of them "
    "claim, for packages that are missing or have the wrong version, and for plugins that use what "
    "a later release removes. Every finding comes with a hint how to fix it. Exit code 1 if "
    "something is broken, else 0; a deprecation doesn't count."
)
EXAMPLES = ("autopipe doctor", "autopipe doctor --json")

_MODULE = __name__.partition(".")[0]
_AGAIN = "--force-reinstall --no-deps"


@dataclass(frozen=True)
class Finding:
    """A problem of the installation, or (if `harmless`) something unusual."""

    kind: str
    subject: str
    reason: str
    hint: str
    harmless: bool = False


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the state of the installation; return 1 if something is broken."""
    # With AUTOPIPE_STRICT, discovery would stop at the first problem.
    registry = Registry(*discover(environ={**os.environ, "AUTOPIPE_STRICT": ""}))
    plugins = [*registry.plugins.values(), *(p.plugin for p in registry.problems)]
    dists = list(dict.fromkeys([CORE, *(plugin.dist for plugin in plugins)]))
    needed = requirements(dists)
    findings = [
        *(_of_problem(problem, registry) for problem in registry.problems),
        *_of_overwriting_packages(),
        *_of_packages(needed, dists),
        *_of_families(registry),
        *_of_deprecations(registry),
    ]
    data = _as_json(registry, needed, findings)
    show(arguments.json, data, _as_text(registry, needed, findings))
    return 0 if data["ok"] else 1


def _of_problem(problem: Problem, registry: Registry) -> Finding:
    dist = problem.plugin.dist
    absent = problem.reason.startswith("ModuleNotFoundError")  # pip installs dependencies
    delete = f"delete {' and '.join(problem.folders)}, then " if problem.folders else ""
    hints = {
        "broken": delete + pip_line(dist, options="" if absent else _AGAIN),
        "incompatible": pip_line(CORE, dist, options="--upgrade"),
        "duplicate": f"set {PREFER}={dist} to use the one of {dist} instead, or run "
        f"python -m pip uninstall {dist}",
        "missing": _task_hint(problem, registry),
        "disabled": "change that environment variable",
    }
    return Finding(
        problem.kind,
        f"plugin {problem.plugin}",
        problem.reason,
        hints[problem.kind],
        harmless=problem.kind == "disabled",
    )


def _task_hint(problem: Problem, registry: Registry) -> str:
    """How to install the task that a plugin serves and no plugin declares."""
    dist = problem.plugin.dist
    ours = [one.manifest for one in registry.installed if one.plugin == problem.plugin]
    served = [task for manifest in ours for p in manifest.pipelines for task in p.tasks]
    owners = (dist_of(task, "task") for task in served if task not in registry.tasks)
    owner = next(filter(None, owners), None)
    hint = f"install the package that declares it; see the documentation of {dist}"
    return pip_line(owner) if owner else hint


def _of_overwriting_packages() -> list[Finding]:
    """Other distributions that provide the module `autopipe` and may have overwritten its files."""
    others = sorted({plain(dist) for dist in providers(_MODULE)} - {CORE})
    return [
        Finding(
            "duplicate",
            f"package {dist}",
            f"it also provides the module {_MODULE} of {CORE}: one of them has overwritten files "
            f"of the other",
            f"python -m pip uninstall {dist}, then {pip_line(CORE, options=_AGAIN)}",
        )
        for dist in others
    ]


def _of_packages(needed: list[Requirement], dists: Collection[str]) -> list[Finding]:
    return [
        Finding(
            "missing" if need.installed is None else "incompatible",
            f"package {need.name}",
            _why_not(need),
            _pip_line(need, dists),
        )
        for need in needed
        if not need.met
    ]


def _why_not(need: Requirement) -> str:
    if need.installed is None:
        return f"{', '.join(need.wanted_by)} needs {need.wanted or 'it'}, but it is not installed"
    refusals = ", ".join(f"{dist} needs {wanted}" for dist, wanted in need.refused_by)
    return f"{refusals}, but {need.installed} is installed"


def _pip_line(need: Requirement, dists: Collection[str]) -> str:
    """The pip command that fixes the versions.

    The core and the plugins must be upgraded together, as must packages with contradictory
    requirements: pip finds matching versions if all of them are named at once.
    """
    together = need.name in dists or not need.possible
    if need.installed is None or not together:
        return pip_line(f"{need.name}{need.wanted}")
    ours = [dist for dist in need.wanted_by if dist in dists]
    return pip_line(*ours, need.name, options="--upgrade")


def _of_families(registry: Registry) -> list[Finding]:
    if any(family.pipelines for family in registry.families.values()):
        return []
    reason = "no usable plugin provides a pipeline, so no checkpoint can be opened"
    return [Finding("missing", "families", reason, no_family_hint().removeprefix("Run: "))]


def _of_deprecations(registry: Registry) -> list[Finding]:
    """Findings about plugins that use something that a later release removes."""
    return [
        Finding(
            "deprecated",
            f"plugin {one.plugin}",
            reason,
            f"{pip_line(one.plugin.dist, options='--upgrade')}; if that doesn't help, tell its "
            f"author",
            harmless=True,
        )
        for one in registry.installed
        for reason in one.deprecations
    ]


def _as_json(
    registry: Registry, needed: list[Requirement], findings: list[Finding]
) -> dict[str, Any]:
    return {
        "autopipe": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "plugins": [
            {"name": p.name, "package": p.dist, "version": p.version, "state": state}
            for p, state in _plugins(registry)
        ],
        "packages": [{**asdict(need), "met": need.met} for need in needed],
        "findings": [asdict(finding) for finding in findings],
        "ok": all(finding.harmless for finding in findings),
    }


def _plugins(registry: Registry) -> list[tuple[Plugin, str]]:
    states = dict.fromkeys(registry.plugins.values(), "in use")
    for problem in registry.problems:
        in_use = states.get(problem.plugin, "").endswith("in use")
        states[problem.plugin] = "partly in use" if in_use else problem.kind
    return list(states.items())


def _as_text(registry: Registry, needed: list[Requirement], findings: list[Finding]) -> str:
    python = f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}"
    plugins = [(p.name, p.dist, p.version, state) for p, state in _plugins(registry)]
    packages = [
        (need.name, need.installed or "-", need.wanted or "any", "ok" if need.met else "NOT OK")
        for need in needed
    ]
    parts = [
        paragraph(f"autopipe {__version__}, {python}"),
        "",
        table(plugins, ("PLUGIN", "PACKAGE", "VERSION", "STATE")) or "No plugin is installed.",
        "",
        table(packages, ("PACKAGE", "INSTALLED", "NEEDED", "")),
        "",
    ]
    for finding in findings:
        text = f"{finding.kind}: {finding.subject}: {finding.reason}"
        parts.append(paragraph(text, "  ", first="- "))
        parts.append(paragraph(f"Fix: {finding.hint}", "        ", first="  "))
    broken = sum(not finding.harmless for finding in findings)
    summary = counted(broken, "problem", "problems") if broken else "No problems"
    return "\n".join([*parts, f"{summary} found."])
