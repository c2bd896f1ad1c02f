"""`autopipe greet`."""

from __future__ import annotations

import argparse

from autopipe.cli.command import Run, explain


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, "Say hello to somebody.", ["autopipe greet Ada"])
    parser.add_argument("name", metavar="NAME", help="whom to greet")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the greeting."""
    print(f"Hello, {arguments.name}")
    return 0
