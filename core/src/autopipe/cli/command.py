"""Helpers for commands: functions that declare their arguments and return the code to run.

    def declare(parser: argparse.ArgumentParser) -> Run:
        explain(parser, ABOUT, EXAMPLES)
        parser.add_argument("name")
        return run

Commands of the core and of plugins are declared in the same way, as `Command` in a manifest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .text import as_json as json_of
from .text import paragraph, say

Run: TypeAlias = Callable[[argparse.Namespace], int]
"""A function that runs a command and returns the exit code."""


def explain(parser: argparse.ArgumentParser, about: str, examples: Sequence[str]) -> None:
    """Set the text of a command's `--help`, and the examples after its arguments."""
    parser.description = paragraph(about)
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples)


def show(as_json: bool, data: object, text: str) -> None:
    """Print the result of a command: `data` as JSON, or `text`."""
    say(json_of(data) if as_json else text)


def option(parser: Any, words: str, help: str, **how: Any) -> None:
    """Add an option that takes a value.

    Args:
        words: its names and the placeholder of its value, such as `"-o --output FILE"`.
        help: the help text.
        **how: other keywords of `add_argument`; `many=True` for an option that can be repeated.
    """
    *names, metavar = words.split()
    if how.pop("many", False):
        how["action"] = "append"
    parser.add_argument(*names, metavar=metavar, help=help, **how)
