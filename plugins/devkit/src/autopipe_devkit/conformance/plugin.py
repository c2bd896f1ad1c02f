"""The pytest plugin: shows the results of the conformance checks at the end of a test run.

A check that did not run counts as failed. The plugin is loaded in every test run where
autopipe-devkit is installed, so it imports nothing from autopipe unless such checks ran.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

MARK = "_autopipe_conformance"
"""The attribute by which the plugin recognises the classes of the kit."""

VERDICT = "autopipe_conformance"
"""The name of the report property of a test that holds the verdict of its check."""

OPTION = "--conformance-report"

deselected = pytest.StashKey[set[str]]()
"""The node ids of the tests that the command line deselected."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the report file."""
    parser.getgroup("autopipe").addoption(
        OPTION,
        metavar="FILE",
        help="write what came of the conformance checks: .md, .html or .json",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the collector of this run's verdicts."""
    config.pluginmanager.register(Collector(), Collector.name)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Record the deselected tests, so that they don't count as missing."""
    for item in items:
        item.config.stash.setdefault(deselected, set()).add(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Report a skipped check as failed, and add a verdict for a failure outside of a check."""
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
    """Print the report; with `-q` only failed and unjudged checks."""
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
    """Write the report file that the command line asks for."""
    file = session.config.getoption(OPTION)
    collector: Any = session.config.pluginmanager.get_plugin(Collector.name)
    # With several processes, only the main one receives the reports of all tests.
    if file and not hasattr(session.config, "workerinput"):
        from .report import Report

        Report.of(collector.told).write(Path(file))


class Collector:
    """Collects the verdicts of conformance checks from the reports of tests."""

    name = "autopipe-conformance-collector"

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the verdict of a finished test."""
        found = dict(report.user_properties).get(VERDICT)
        if not isinstance(found, dict) or (report.when != "call" and not report.failed):
            return
        if hasattr(report, "wasxfail") and report.skipped:
            found = {**found, "outcome": "expected", "reason": report.wasxfail}
        elif report.failed and found["outcome"] == "passed":
            found = {**found, "outcome": "failed", "said": report.longreprtext}
        self.told.append(found)
