"""The pytest plugin: what came of the conformance checks, as a page below the results of a run.

A check that did not run is a failure. Loaded in every test run where autopipe-devkit is installed,
so it imports nothing of autopipe unless there were such checks.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

MARK = "_autopipe_conformance"
"""The attribute by which the plugin knows the classes of the kit."""

VERDICT = "autopipe_conformance"
"""The name of the property of a test's report that says what came of its check."""

OPTION = "--conformance-report"

deselected = pytest.StashKey[set[str]]()
"""The ids of the checks that the command line left out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the report's file."""
    parser.getgroup("autopipe").addoption(
        OPTION,
        metavar="FILE",
        help="write what came of the conformance checks: .md, .html or .json",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect what comes of the checks of this run."""
    config.pluginmanager.register(Collector(), Collector.name)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember what was left out on purpose, so that it doesn't count as missing."""
    for item in items:
        item.config.stash.setdefault(deselected, set()).add(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Turn a skipped check into a failed one, and note what failed outside of a check."""
    report = yield
    cls = getattr(item, "cls", None)
    if not hasattr(cls, MARK):
        return report
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.name} was skipped. A conformance check runs, or its failure is expected with "
            f"a reason: expected_failures = {{check: reason}}"
        )
    if report.failed and VERDICT not in dict(report.user_properties):
        said = str(call.excinfo.value) if call.excinfo is not None else str(report.longrepr)
        name = item.name.removeprefix("test_check[").removesuffix("]").removeprefix("test_")
        told = {"family": getattr(cls, "family", ""), "name": name, "outcome": "failed"}
        report.user_properties.append((VERDICT, {**told, "said": said.partition("\nassert")[0]}))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the page; with `-q` only what is not as it should be."""
    collector: Any = config.pluginmanager.get_plugin(Collector.name)
    if not collector.told:
        return
    from .report import Report

    report = Report.of(collector.told)
    text = report.as_text(brief=config.get_verbosity() < 0)
    if text:
        terminalreporter.section("conformance")
        terminalreporter.write_line(text)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file that was asked for."""
    file = session.config.getoption(OPTION)
    collector: Any = session.config.pluginmanager.get_plugin(Collector.name)
    # Of several processes, the one that hears of all tests.
    if file and not hasattr(session.config, "workerinput"):
        from .report import Report

        Report.of(collector.told).write(Path(file))


class Collector:
    """Keeps what the reports of tests say of conformance checks."""

    name = "autopipe-conformance-collector"

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take down the check of a test that ended."""
        found = dict(report.user_properties).get(VERDICT)
        if not isinstance(found, dict) or (report.when != "call" and not report.failed):
            return
        if hasattr(report, "wasxfail") and report.skipped:
            found = {**found, "outcome": "expected", "reason": report.wasxfail}
        elif report.failed and found["outcome"] == "passed":
            found = {**found, "outcome": "failed", "said": report.longreprtext}
        self.told.append(found)
