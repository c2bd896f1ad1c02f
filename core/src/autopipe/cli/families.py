"""`autopipe families`: lists what is installed."""

from __future__ import annotations

import argparse
from typing import Any

from ..registry import Registry, default_registry
from ..resolution.hints import dist_with_demo, pip_line
from .command import Run, explain, show
from .text import counted, paragraph, say, table

ABOUT = (
    "List the installed families and other plugins: the tasks that each offers, its other entries, "
    "and its package. Only manifests are imported."
)
EXTENSIONS = {
    "addons": "add-ons",
    "engines": "engines",
    "runners": "runners",
    "commands": "commands",
    "readers": "readers",
}
"""Other fields of a manifest, with their names for the table."""

EXAMPLES = ("autopipe families", "autopipe families --json")


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with all entries of each manifest"
    )
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    registry = default_registry()
    found = describe(registry)
    text = [table([_row(family) for family in found], ("FAMILY", "PACKAGE", "VERSION", "TASKS"))]
    if not any(family["pipelines"] for family in found):
        text.append(paragraph(f"No family is installed. {no_family_hint()}"))
    show(arguments.json, found, "\n".join(filter(None, text)))
    unused = len({problem.plugin for problem in registry.problems})
    if unused and not arguments.json:
        plugins = counted(unused, "plugin is", "plugins are")
        about = f"{plugins} installed but not, or only partly, in use"
        say(paragraph(f"{about}; see 'autopipe doctor'"), error=True)
    return 0


def no_family_hint() -> str:
    """How to install a first family."""
    return f"Run: {pip_line(dist_with_demo())}"


def describe(registry: Registry) -> list[dict[str, Any]]:
    """Return the families for JSON."""
    return [
        {
            "name": name,
            "package": registry.plugins[name].dist,
            "version": registry.plugins[name].version,
            "api": family.api,
            "tasks": [
                str(t) for t in registry.tasks if any(t in p.tasks for p in family.pipelines)
            ],
            "pipelines": [
                {**vars(p), "conditions": sorted(p.conditions), "tasks": p.tasks}
                for p in family.pipelines
            ],
            "components": [c.name for c in family.components],
            "keywords": [c.keyword for c in family.conditions],
            "declares": [str(task) for task in family.tasks],
            **{kind: [one.name for one in getattr(family, kind)] for kind in EXTENSIONS},
            "demo": f"demo:{name}" if family.demo else None,
        }
        for name, family in registry.families.items()
    ]


def _row(family: dict[str, Any]) -> tuple[str, ...]:
    further = sum(not pipeline["tasks"] for pipeline in family["pipelines"])
    more = "more " if family["tasks"] else ""
    entries = [", ".join(family["tasks"])]
    unserved = [task for task in family["declares"] if task not in family["tasks"]]
    entries += [f"declares: {', '.join(unserved)}"] if unserved else []
    entries += [counted(further, f"{more}pipeline", f"{more}pipelines")] if further else []
    entries += [
        f"{text}: {', '.join(family[kind])}" for kind, text in EXTENSIONS.items() if family[kind]
    ]
    provides = "; ".join(filter(None, entries)) or "none; parts for other families"
    return family["name"], family["package"], family["version"], provides
