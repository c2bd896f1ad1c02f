"""The parser of the command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import ArgumentError, PluginError, nearest
from ..manifest import Command
from ..registry import default_registry
from ..resolution.guard import guarded
from ..resolution.hints import dist_of, pip_line, reinstall_line
from ..resolution.own import OWN
from ..resolution.targets import load_target
from ..resolution.version import __version__
from ..wording import shown
from .command import Run
from .text import help_text, say, terminal_width


class Parser(argparse.ArgumentParser):
    """A parser that raises `ArgumentError`, and whose help keeps the line breaks of its texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise an error that says what is wrong and where to find help."""
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if wrong:
            known = commands()
            hint = nearest(wrong[1], known) or f" Known: {', '.join(known)}"
            dist = dist_of(wrong[1], "command")
            if dist is not None:
                hint = f" It is in the package {dist}. Run: {pip_line(dist)}"
            message = f"there is no command {shown(wrong[1])}.{hint}"
        stop = "" if message.endswith("?") else "."
        raise ArgumentError(f"{message}{stop} See '{self.prog} --help'")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help and version, whose texts may come from manifests."""
        say(message, error=file is sys.stderr, end="")


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(
        prog, max_help_position=26, width=min(terminal_width(), 100)
    )


def commands() -> dict[str, Command]:
    """Return the commands by name: those of the core, then those of plugins."""
    own = {command.name: command for command in OWN.manifest.commands}
    try:
        return {**own, **default_registry().of("command")}
    except PluginError:  # AUTOPIPE_STRICT is set; `doctor` must still run
        return own


def build(argv: Sequence[str] = ()) -> Parser:
    """Build the parser; only the command that `argv` calls is imported."""
    # Also accepted after the command's name; there, its default must not override the first.
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    parser = Parser(
        prog="autopipe",
        parents=[common],
        description="Load any diffusion checkpoint for a task, and generate images with it.",
        epilog="examples:\n"
        '  autopipe generate "a red circle on a white background" -o circle.png\n'
        "  autopipe families\n\n"
        "'autopipe COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"autopipe {__version__}")
    known = commands()
    called = next((word for word in argv if not word.startswith("-")), None)
    under = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, command in known.items():
        made = under.add_parser(name, help=help_text(command.help), parents=[common])
        if name == called:
            made.set_defaults(run=_declared(command, made), command=made)
    return parser


def _declared(command: Command, parser: Parser) -> Run:
    """Have a command declare its arguments, and return the function that runs it."""
    declare = load_target(command.target)

    def broken(reason: str) -> PluginError:
        return PluginError(
            f"the command {command.name} can't be used, because {command.target} is broken "
            f"({reason}). Run: {reinstall_line(command.target.partition(':')[0], reason)}"
        )

    with guarded(broken):
        run: Run = declare(parser)
    if not callable(run):
        raise broken(f"it must return the function that runs it, not {shown(run)}")
    return run


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; `run` of the result is the function of the command.

    Raises:
        ArgumentError: if the arguments are not valid.
        SystemExit: after printing help or the version.
    """
    arguments, unknown = build(argv).parse_known_args(argv)
    if unknown:
        command: Parser = arguments.command
        known = [text for action in command._actions for text in action.option_strings]
        hint = nearest(unknown[0].partition("=")[0], known)
        if not unknown[0].startswith("-"):
            hint = " Put text of several words in quotes"
        command.error(f"unrecognized argument {shown(unknown[0])}" + (hint and f".{hint}"))
    return arguments
