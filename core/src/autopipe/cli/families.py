"""`autopipe families`: what is installed."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ..hints import pip_line
from ..registry import Registry, default_registry
from .command import Run, explain
from .text import paragraph, table

ABOUT = (
    "List the installed families: the tasks each offers, and the package it comes from. "
    "Nothing of a family is imported but its manifest."
)
EXAMPLES = ("autopipe families", "autopipe families --json")


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print JSON, with every pipeline")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    registry = default_registry()
    found = describe(registry)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    if found:
        print(table([_row(family) for family in found], ("FAMILY", "PACKAGE", "VERSION", "TASKS")))
    if not any(family["tasks"] for family in found):
        print(paragraph(f"No family is installed. {no_family_cure()}"))
    unused = len(registry.problems)
    if unused:
        plugins = "1 plugin is" if unused == 1 else f"{unused} plugins are"
        print(f"{plugins} installed but not in use; see 'autopipe doctor'", file=sys.stderr)
    return 0


def no_family_cure() -> str:
    """How to get a first family."""
    return f"Run: {pip_line('autopipe-stable-diffusion')}"


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
                {
                    "name": p.name,
                    "task": p.task and str(p.task),
                    "tasks": [str(task) for task in p.tasks],
                    "line": p.line,
                    "conditions": sorted(p.conditions),
                    "target": p.target,
                }
                for p in family.pipelines
            ],
            "components": [c.name for c in family.components],
            "keywords": [c.keyword for c in family.conditions],
            "demo": f"demo:{name}" if family.demo else None,
        }
        for name, family in registry.families.items()
    ]


def _row(family: dict[str, Any]) -> tuple[str, ...]:
    tasks = ", ".join(family["tasks"]) or "none; parts for other families"
    return family["name"], family["package"], family["version"], tasks
