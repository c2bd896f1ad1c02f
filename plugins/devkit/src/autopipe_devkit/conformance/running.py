"""Runs the kit outside of a test session."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from tqdm.auto import tqdm

from autopipe.errors import ArgumentError
from autopipe.wording import shown

from .plugin import MARK, Collector
from .report import Report

RAN = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""The exit codes of pytest when it could run the tests."""


def checked(tests: Path, family: str, only: Collection[str] = ()) -> Report:
    """Run the checks of `family` in the test file `tests` and return their report.

    Args:
        only: the names of the checks to run; all if empty.

    Raises:
        ArgumentError: if pytest can't run `tests`.
    """
    session = _Session(family, only)
    with tempfile.TemporaryDirectory() as scratch:
        ini = Path(scratch, "pytest.ini")
        ini.write_text("[pytest]\n")
        options = [
            *("-c", str(ini), "--rootdir", str(tests.parent), "--basetemp", str(ini.parent / "t")),
            *("-p", "no:terminal", "-p", "no:cacheprovider", "-W", "ignore", "-p", "no:randomly"),
        ]
        before = os.environ.pop("PYTEST_ADDOPTS", None)
        try:
            code = pytest.main([*options, str(tests)], plugins=[session])
        finally:
            if before is not None:
                os.environ["PYTEST_ADDOPTS"] = before
    if session.problem or code not in RAN:
        why = session.problem or f"pytest ended with the exit code {int(code)}"
        raise ArgumentError(f"{shown(str(tests))} can't be run: {why}")
    return Report.of(session.told)


class _Session(Collector):
    """Selects the checks to run, shows their progress, and collects their verdicts."""

    def __init__(self, family: str, only: Collection[str]) -> None:
        super().__init__()
        self._family, self._only, self.problem = family, only, ""
        self._bar: Any = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Store the reason if a file can't be collected."""
        if report.failed:
            self.problem = report.longreprtext.strip().splitlines()[-1]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect everything but the requested checks of the family."""
        wanted = [item for item in items if self._wants(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = wanted
        self._bar = tqdm(total=len(items), desc=f"checking {self._family}", disable=None)

    def _wants(self, item: pytest.Item) -> bool:
        cls = getattr(item, "cls", None)
        if not hasattr(cls, MARK) or getattr(cls, "family", None) != self._family:
            return False
        name = item.name.partition("[")[2].removesuffix("]").partition("-")[0]
        return not self._only or name in self._only

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the verdict of a finished test, and advance the progress bar."""
        super().pytest_runtest_logreport(report)
        if report.when == "call" and self._bar is not None:
            self._bar.update()

    def pytest_sessionfinish(self) -> None:
        """Close the progress bar."""
        if self._bar is not None:
            self._bar.close()
