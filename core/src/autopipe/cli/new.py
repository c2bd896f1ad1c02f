"""`autopipe new`: the project of a family of your own."""

from __future__ import annotations

import argparse

from autopipe_devkit.scaffold import create, family_name

from ..errors import ArgumentError
from ..registry import default_registry
from ..tasks import Task

HELP = "write the project of a new family, to begin with"
ABOUT = (
    "Write a complete project of a family: package, manifest, a small pipeline that runs, tests "
    "and a file for CI. It is an example under the name that you give; replace its network by "
    "yours."
)
EXAMPLES = ("autopipe new zoo", "autopipe new zoo --task text2image --to work/zoo")


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="of the family, such as zoo")
    parser.add_argument(
        "--task",
        metavar="TASK",
        action="append",
        help=f"{', '.join(t.value for t in Task)}; may be given several times (default: all)",
    )
    parser.add_argument("--to", metavar="DIR", help="the folder to write (default: autopipe-NAME)")


def run(arguments: argparse.Namespace) -> int:
    """Write the project, and say what to do with it."""
    name = family_name(arguments.name)
    if name in default_registry().families:
        raise ArgumentError(f"a family {name} is installed already; take another name")
    tasks = [Task.parse(task) for task in arguments.task or ()]
    folder = create(name, arguments.to, tasks)
    print(f"{folder} is the project of the family {name}. To try it:\n")
    print(f'  python -m pip install -e "{folder}[test]"')
    print(f"  python -m pytest {folder}")
    if not tasks or Task.TEXT2IMAGE in tasks:
        print(f'  autopipe generate "a red circle" --model demo:{name} -o circle.png')
    return 0
