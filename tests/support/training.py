"""The training programs of `examples/`, run on a few pictures."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any
from unittest import mock

EXAMPLES = Path(__file__).parents[2] / "examples"

SHORT = ("--batch", "2", "--rate", "0.01", "--warmup", "0", "--log-every", "1", "--guided", "2")


def example(name: str) -> dict[str, Any]:
    """Return what a file of `examples/` defines; it may import what lies beside it."""
    with mock.patch.object(sys, "path", [str(EXAMPLES), *sys.path]):
        return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def run_example(program: str, *arguments: str) -> None:
    """Run a program of `examples/`."""
    assert example(program)["main"](list(arguments)) == 0


def train(program: str, data: Path, to: Path, steps: int, *more: str) -> Path:
    """Train for some steps, and return the folder of the result."""
    where = ("--data", str(data), "--to", str(to), "--steps", str(steps))
    run_example(f"train_{program}", *where, *SHORT, *more)
    return to
