"""The arguments of the command line, and the words that explain them."""

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
    """A parser whose errors are ours, and whose help keeps the line breaks of its texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is."""
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if wrong:
            known = commands()
            hint = nearest(wrong[1], known) or f" There are: {', '.join(known)}"
            dist = dist_of(wrong[1], "command")
            if dist is not None:
                hint = f" It comes with the package {dist}. Run: {pip_line(dist)}"
            message = f"there is no command {shown(wrong[1])}.{hint}"
        stop = "" if message.endswith("?") else "."
        raise ArgumentError(f"{message}{stop} See '{self.prog} --help'")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help and version, in which manifests have words."""
        say(message, error=file is sys.stderr, end="")


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(
        prog, max_help_position=26, width=min(terminal_width(), 100)
    )


def commands() -> dict[str, Command]:
    """The commands by name: those of the core, then those of plugins."""
    own = {command.name: command for command in OWN.manifest.commands}
    try:
        return {**own, **default_registry().of("command")}
    except PluginError:  # AUTOPIPE_STRICT is set; the command that tells why has to run
        return own


def build(argv: Sequence[str] = ()) -> Parser:
    """The parser of the command line; only the command that `argv` calls is imported."""
    # After the command's name too, and where that is, it doesn't undo what was said before it.
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--traceback", action="store_true", help="show where in the program an error arose"
    )
    parser = Parser(
        prog="autopipe",
        parents=[common],
        description="Load any diffusion checkpoint for a task, and make pictures with it.",
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
    """What runs a command, once it has declared its arguments."""
    declare = load_target(command.target)

    def broken(reason: str) -> PluginError:
        return PluginError(
            f"the command {command.name} can't be used, {command.target} is broken ({reason}). "
            f"Run: {reinstall_line(command.target.partition(':')[0], reason)}"
        )

    with guarded(broken):
        run: Run = declare(parser)
    if not callable(run):
        raise broken(f"it returns {shown(run)} where the function that runs it is expected")
    return run


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; `run` is the function of the command.

    Raises:
        ArgumentError: they are not what the command takes.
        SystemExit: help or the version was asked for, and printed.
    """
    arguments, unknown = build(argv).parse_known_args(argv)
    if unknown:
        command: Parser = arguments.command
        known = [text for action in command._actions for text in action.option_strings]
        hint = nearest(unknown[0].partition("=")[0], known)
        if not unknown[0].startswith("-"):
            hint = " Put a text of several words in quotes"
        command.error(f"unrecognized argument {shown(unknown[0])}" + (hint and f".{hint}"))
    return arguments
