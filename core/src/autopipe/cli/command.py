"""What a command of `autopipe` is: a function that declares its arguments and returns what runs it.

    def declare(parser: argparse.ArgumentParser) -> Run:
        explain(parser, ABOUT, EXAMPLES)
        parser.add_argument("name")
        return run

Those of the core and of plugins are declared alike, as `Command` in a manifest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .text import as_json as json_of
from .text import paragraph, say

Run: TypeAlias = Callable[[argparse.Namespace], int]
"""Does the work of a command, and returns the exit code."""


def explain(parser: argparse.ArgumentParser, about: str, examples: Sequence[str]) -> None:
    """Give a command's `--help` a text, and examples after the arguments."""
    parser.description = paragraph(about)
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples)


def show(as_json: bool, told: object, text: str) -> None:
    """Print what a command found, as JSON or as text."""
    say(json_of(told) if as_json else text)


def option(parser: Any, words: str, help: str, **how: Any) -> None:
    """Add an option that takes a value.

    Args:
        words: its names, then what stands for the value, such as `"-o --output FILE"`.
        help: what it is for.
        **how: further keywords of `add_argument`; `many=True` for one that may be given again.
    """
    *names, metavar = words.split()
    if how.pop("many", False):
        how["action"] = "append"
    parser.add_argument(*names, metavar=metavar, help=help, **how)
