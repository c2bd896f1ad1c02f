"""`autopipe schema`: prints the JSON schema of the requests for a task."""

from __future__ import annotations

import argparse

from autopipe.cli.checkpoint import CHECKPOINT_HELP, REVISION_HELP, declare_links, open_checkpoint
from autopipe.cli.command import Run, explain, option
from autopipe.cli.text import as_json, say, table
from autopipe.registry import Registry, default_registry
from autopipe.tasks import Task

from ..offered import schema_of

ABOUT = (
    "Print the JSON schema (2020-12) of requests for a task: the fields of a request, and every "
    "argument of the call with its type, default and description. By default it is for all "
    "installed pipelines of the task and all add-ons together. Without a task, list the tasks."
)
EXAMPLES = (
    "autopipe schema",
    "autopipe schema text2image > text2image.json",
    "autopipe schema inpaint --model OWNER/NAME --attach pag",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    registry = default_registry()
    about = f"{', '.join(registry.tasks)} (default: with --model, that of its pipeline)"
    parser.add_argument("task", metavar="TASK", nargs="?", help=about)
    about = f"only for the pipeline of a checkpoint: {CHECKPOINT_HELP} (default: all pipelines)"
    option(parser, "--model CHECKPOINT", about)
    about = "with --model, an add-on whose inputs are arguments, too (default: none)"
    option(parser, "--attach NAME", about, many=True)
    option(parser, "--revision NAME", REVISION_HELP)
    declare_links(parser)
    parser.add_argument(
        "--flat",
        action="store_true",
        help="the arguments beside the other fields, none of which is required, as in a file of "
        "jobs (default: under arguments)",
    )
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the schema, or the tasks."""
    registry = default_registry()
    if arguments.task is None and arguments.model is None:
        say(_tasks(registry))
        return 0
    task = None if arguments.task is None else registry.task(arguments.task)
    name = None
    if arguments.model is not None:
        name = open_checkpoint(arguments.model, registry, arguments.revision).index.class_name
    schema = schema_of(
        task, registry, name, arguments.attach or (), flat=arguments.flat,
        tell=lambda text: say(f"autopipe: {text}", error=True),
    )  # fmt: skip
    say(as_json(schema))
    return 0


def _tasks(registry: Registry) -> str:
    rows = [(str(task), _inputs(task), str(len(all_))) for task, all_ in registry.tasks.items()]
    return table(rows, head=("task", "inputs", "pipelines"))


def _inputs(task: Task) -> str:
    return ", ".join(one.name if one.required else f"[{one.name}]" for one in task.inputs)
