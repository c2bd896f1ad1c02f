"""The option `--parity`: run what compares with diffusers, or fail where that can't be imported.

Without it such a module skips itself where diffusers isn't installed, so that a run of all tests
works there. A session that is there to compare must not pass because there was nothing to compare.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity",
        action="store_true",
        help="run what compares with diffusers; an import that fails is an error, not a skip",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("parity"):
        return
    try:
        importlib.import_module("diffusers")
    except ImportError as error:
        raise pytest.UsageError(f"--parity compares with diffusers: {error}") from error
    config.option.markexpr = "parity"
    pytest.importorskip = imported


def imported(name: str, *_: object, **__: object) -> ModuleType:
    """The module `name`: what `pytest.importorskip` returns, which it never skips for."""
    return importlib.import_module(name)
