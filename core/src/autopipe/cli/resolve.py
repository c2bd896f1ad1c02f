"""`autopipe resolve`: shows which class opens a checkpoint, and why."""

from __future__ import annotations

import argparse
from typing import Any

from ..registry import default_registry
from .checkpoint import declare_checkpoint, open_checkpoint
from .command import Run, explain, option, show
from .text import facts

ABOUT = (
    "Show which pipeline class of which installed family opens a checkpoint, and why. Only the "
    "checkpoint's index is read, and no model code is imported."
)
EXAMPLES = (
    "autopipe resolve OWNER/NAME",
    "autopipe resolve ./my-checkpoint --task inpaint --json",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    declare_checkpoint(parser)
    tasks = ", ".join(default_registry().tasks)
    option(parser, "--task TASK", f"{tasks} (default: that of the checkpoint's class)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the resolution."""
    registry = default_registry()
    checkpoint = open_checkpoint(arguments.checkpoint, registry, arguments.revision)
    found = registry.resolve(checkpoint.index.class_name, arguments.task)
    plugin = found.plugin
    task = arguments.task and registry.task(arguments.task)
    data: dict[str, Any] = {
        "checkpoint": arguments.checkpoint,
        "commit": checkpoint.commit,
        "class": found.pipeline.name,
        "task": task or found.pipeline.task,
        "tasks": [str(one) for one in found.pipeline.tasks],
        "family": found.family,
        "package": plugin.dist,
        "version": plugin.version,
        "target": found.pipeline.target,
        "why": found.reason,
    }
    tasks = ", ".join(data["tasks"])
    text = facts({**data, "task": task or tasks or "none", "tasks": None})
    show(arguments.json, data, text)
    return 0
