"""The option `--parity`: run the tests that compare with diffusers; fail if it can't be imported.

Without the option, such test modules are skipped if diffusers isn't installed. A session that is
meant to compare must not pass because diffusers is absent.
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
    """Import and return the module `name`; replaces `pytest.importorskip`, and never skips."""
    return importlib.import_module(name)
