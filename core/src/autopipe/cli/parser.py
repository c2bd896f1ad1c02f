"""The arguments of the command line, and the words that explain them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from ..errors import ArgumentError, nearest
from . import doctor, download, families, generate, inspect, new, resolve
from .text import paragraph, terminal_width

COMMANDS = {
    "families": families,
    "doctor": doctor,
    "resolve": resolve,
    "inspect": inspect,
    "download": download,
    "generate": generate,
    "new": new,
}
"""Each module has `HELP` (a line), `ABOUT`, `EXAMPLES`, `declare(parser)` and `run(arguments)`."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ours, and whose help keeps the line breaks of its texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is."""
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if wrong:
            hint = nearest(wrong[1], COMMANDS) or f" There are: {', '.join(COMMANDS)}"
            message = f"there is no command {wrong[1]!r}.{hint}"
        stop = "" if message.endswith("?") else "."
        raise ArgumentError(f"{message}{stop} See '{self.prog} --help'")


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(
        prog, max_help_position=26, width=min(terminal_width(), 100)
    )


def build() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="autopipe",
        description="Load any diffusion checkpoint for a task, and make pictures with it.",
        epilog="examples:\n"
        '  autopipe generate "a red circle on a white background" -o circle.png\n'
        "  autopipe families\n\n"
        "'autopipe COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"autopipe {__version__}")
    _add_traceback(parser, default=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=paragraph(module.ABOUT),
            epilog="examples:\n" + "\n".join(f"  {line}" for line in module.EXAMPLES),
        )
        module.declare(command)
        _add_traceback(command, default=argparse.SUPPRESS)
        command.set_defaults(run=module.run, command=command)
    return parser


def _add_traceback(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--traceback",
        action="store_true",
        default=default,
        help="show where in the program an error arose",
    )


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; `run` is the function of the command.

    Raises:
        ArgumentError: they are not what the command takes.
        SystemExit: help or the version was asked for, and printed.
    """
    arguments, unknown = build().parse_known_args(argv)
    if unknown:
        command: Parser = arguments.command
        known = [text for action in command._actions for text in action.option_strings]
        hint = nearest(unknown[0].partition("=")[0], known)
        if not unknown[0].startswith("-"):
            hint = " Put a text of several words in quotes"
        command.error(f"unrecognized argument {unknown[0]!r}" + (hint and f".{hint}"))
    return arguments
