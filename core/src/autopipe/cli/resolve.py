"""`autopipe resolve`: which class opens a checkpoint, and why."""

from __future__ import annotations

import argparse
import json

from ..registry import default_registry
from ..tasks import Task
from .checkpoint import declare_checkpoint, open_checkpoint
from .command import Run, explain
from .text import table

ABOUT = (
    "Tell which pipeline class of which installed family opens a checkpoint, and why. Only the "
    "checkpoint's index is read, and no model code is imported."
)
EXAMPLES = (
    "autopipe resolve demo:stable_diffusion",
    "autopipe resolve ./my-checkpoint --task inpaint --json",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    declare_checkpoint(parser)
    parser.add_argument(
        "--task",
        metavar="TASK",
        help=f"{', '.join(Task)} (default: what the checkpoint was saved as)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the resolution."""
    registry = default_registry()
    checkpoint = open_checkpoint(arguments.checkpoint, registry, arguments.revision)
    found = registry.resolve(checkpoint.index.class_name, arguments.task)
    plugin = found.plugin
    told = {
        "checkpoint": arguments.checkpoint,
        "commit": checkpoint.commit,
        "class": found.pipeline.name,
        "task": found.pipeline.task and str(found.pipeline.task),
        "family": found.family,
        "package": plugin.dist,
        "version": plugin.version,
        "target": found.pipeline.target,
        "why": found.reason,
    }
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        print(table([(name, value) for name, value in told.items() if value is not None]))
    return 0
