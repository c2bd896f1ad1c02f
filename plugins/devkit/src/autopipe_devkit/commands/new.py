"""`autopipe new`: creates a project for a new family."""

from __future__ import annotations

import argparse

from autopipe.cli.command import Run, explain
from autopipe.cli.text import say
from autopipe.errors import ArgumentError
from autopipe.registry import default_registry
from autopipe.tasks import Task

from ..scaffold import CLASSES, create, family_name

ABOUT = (
    "Write a complete project of a family: package, manifest, a small pipeline that runs, tests "
    "and a file for CI. It is a working example under the name that you give; replace its "
    "network with yours."
)
EXAMPLES = ("autopipe new zoo", "autopipe new zoo --task text2image --to work/zoo")


def declare(parser: argparse.ArgumentParser) -> Run:
    """Declare the arguments, and return the function that runs the command."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="of the family, such as zoo")
    parser.add_argument(
        "--task",
        metavar="TASK",
        action="append",
        help=f"{', '.join(CLASSES)}; may be given several times (default: all)",
    )
    parser.add_argument("--to", metavar="DIR", help="the folder to write (default: autopipe-NAME)")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Write the project, and print the next steps."""
    name = family_name(arguments.name)
    if name in default_registry().families:
        raise ArgumentError(f"a family {name} is already installed; choose another name")
    tasks = [Task.parse(task) for task in arguments.task or ()]
    folder = create(name, arguments.to, tasks)
    say(f"{folder} contains the project of the family {name}. To try it:\n")
    say(f'  python -m pip install -e "{folder}[test]"')
    say(f"  python -m pytest {folder}")
    if not tasks or Task.TEXT2IMAGE in tasks:
        say(f'  autopipe generate "a red circle" --model demo:{name} -o circle.png')
    return 0
