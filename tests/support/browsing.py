"""The option `--browser`: run the tests that need Chromium, which are left out otherwise."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BROWSER = "AUTOPIPE_CHROMIUM"
"""The environment variable with the path of Chromium."""

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""Chromium asks for nothing but the page, and runs in containers."""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FOLDER = Path(__file__).parents[1] / "browser"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--browser", action="store_true", help="run what needs Chromium")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path == _FOLDER and not config.getoption("--browser") else None


def chromium() -> str:
    """Return the path of Chromium.

    Raises:
        FileNotFoundError: if it is absent; the text says how to get it.
    """
    named = os.environ.get(BROWSER)
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise FileNotFoundError(
            f"Chromium is absent; install it (apt-get install chromium, dnf install chromium, "
            f"brew install chromium), or name the program in {BROWSER}"
        )
    return found


@contextmanager
def browser() -> Iterator[object]:
    """Context manager with a headless Chromium, by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium(), args=[*FLAGS])
        try:
            yield opened
        finally:
            opened.close()
