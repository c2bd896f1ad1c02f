"""Plugins of strangers, as wheels, in an environment that only these tests use.

The session `strangers` makes it and builds the wheels; `python -m nox -s strangers`. Each module
says in `INSTALLED` which of the projects beside it are to be there, and runs in a process of its
own, since what is installed is read once in a process.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
NAMES = sorted(file.parent.name for file in FOLDER.glob("*/pyproject.toml"))
WHEELS = os.environ["STRANGERS_WHEELS"]
BIN = Path(sys.executable).parent

Run = Callable[..., str]


def run(*command: str | Path, code: int = 0, **environ: str) -> str:
    """What a command prints, on both channels, if it ends with `code`."""
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environ},
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def pip(*arguments: str) -> None:
    run(sys.executable, "-m", "pip", "--quiet", *arguments)


def install_only(names: Collection[str]) -> None:
    """Install these projects, and no others."""
    there = {name for name in NAMES if importlib.util.find_spec(f"autopipe_{name}")}
    if there - set(names):
        pip("uninstall", "--yes", *(f"autopipe-{name}" for name in there - set(names)))
    if set(names) - there:
        dists = [f"autopipe-{name}" for name in names]
        pip("install", "--no-index", "--no-deps", "--find-links", WHEELS, *dists)
    importlib.invalidate_caches()


@pytest.fixture(scope="module", autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    install_only(request.module.INSTALLED)


@pytest.fixture
def autopipe() -> Run:
    """The command `autopipe`: `autopipe("doctor", code=1)` is what it prints."""
    return lambda *arguments, **how: run(BIN / "autopipe", *arguments, **how)


@pytest.fixture
def python() -> Run:
    """Python code in a process of its own."""
    return lambda source, **how: run(sys.executable, "-c", source, **how)


@pytest.fixture
def suite() -> Run:
    """The tests of one of the projects, as its author runs them."""
    return lambda name: run(sys.executable, "-m", "pytest", "--quiet", FOLDER / name)
