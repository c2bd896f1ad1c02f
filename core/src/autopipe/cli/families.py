"""`autopipe families`: what is installed."""

from __future__ import annotations

import argparse
from typing import Any

from ..registry import Registry, default_registry
from ..resolution.hints import dist_with_demo, pip_line
from .command import Run, explain, show
from .text import counted, paragraph, say, table

ABOUT = (
    "List the installed families and other plugins: the tasks each offers, what else it brings, "
    "and the package it comes from. Nothing of them is imported but their manifests."
)
EXTENSIONS = {
    "addons": "add-ons",
    "engines": "engines",
    "commands": "commands",
    "readers": "readers",
}
"""Fields of a manifest besides pipelines and their parts, and what they are called."""

EXAMPLES = ("autopipe families", "autopipe families --json")


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with every pipeline and all else"
    )
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    registry = default_registry()
    found = describe(registry)
    text = [table([_row(family) for family in found], ("FAMILY", "PACKAGE", "VERSION", "TASKS"))]
    if not any(family["pipelines"] for family in found):
        text.append(paragraph(f"No family is installed. {no_family_cure()}"))
    show(arguments.json, found, "\n".join(filter(None, text)))
    unused = len({problem.plugin for problem in registry.problems})
    if unused and not arguments.json:
        plugins = counted(unused, "plugin is", "plugins are")
        about = f"{plugins} installed but not in use, or not with all that they have"
        say(paragraph(f"{about}; see 'autopipe doctor'"), error=True)
    return 0


def no_family_cure() -> str:
    """How to get a first family."""
    return f"Run: {pip_line(dist_with_demo())}"


def describe(registry: Registry) -> list[dict[str, Any]]:
    """The families as JSON knows them."""
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
    told = [", ".join(family["tasks"])]
    undone = [task for task in family["declares"] if task not in family["tasks"]]
    told += [f"declares: {', '.join(undone)}"] if undone else []
    told += [counted(further, f"{more}pipeline", f"{more}pipelines")] if further else []
    told += [
        f"{text}: {', '.join(family[kind])}" for kind, text in EXTENSIONS.items() if family[kind]
    ]
    brings = "; ".join(filter(None, told)) or "none; parts for other families"
    return family["name"], family["package"], family["version"], brings
