"""`autopipe stubs`: writes a stub of the installed plugins for type checkers."""

from __future__ import annotations

import argparse
from pathlib import Path

from autopipe.cli.command import Run, explain
from autopipe.cli.text import say
from autopipe.errors import ArgumentError
from autopipe.registry import default_registry
from autopipe.wording import reason, shown

from ..stubs import FILE, stub

ABOUT = (
    "Write a stub by which type checkers and editors know every public name of autopipe that is "
    "installed here, names of other authors' packages and Auto classes of their tasks included. "
    'pyright reads stubs in typings by itself; for mypy, set mypy_path = "typings". Run it again '
    "when other packages are installed."
)
EXAMPLES = ("autopipe stubs", "autopipe stubs --to stubs --check")


def declare(parser: argparse.ArgumentParser) -> Run:
    """Declare the arguments, and return the function that runs the command."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument(
        "--to",
        metavar="DIR",
        default="typings",
        help="the folder of stubs to write into (default: typings)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit code 1 if the stub is absent or not that of what is installed",
    )
    return run


def run(arguments: argparse.Namespace) -> int:
    """Write the stub, or compare it with the existing one."""
    file = Path(arguments.to, FILE)
    text = stub(default_registry(), "autopipe stubs")
    try:
        is_fresh = file.is_file() and file.read_text(encoding="utf-8") == text
        if arguments.check:
            say(f"{file} is " + ("fresh" if is_fresh else "not fresh; run: autopipe stubs"))
            return 0 if is_fresh else 1
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ArgumentError(
            f"{shown(str(file))} can't be read or written ({reason(error)}); give another folder "
            f"by --to"
        ) from error
    say(f"{file} tells type checkers what is installed")
    return 0
