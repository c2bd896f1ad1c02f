"""The pytest plugin: a conformance check that did not run is a failure.

Loaded in every test run where autopipe-devkit is installed, so it imports nothing of autopipe.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import pytest

MARK = "_autopipe_conformance"
"""The attribute by which the plugin knows the classes of the kit."""

VERDICT = "autopipe_conformance"
"""The name of the property of a test's report that says what came of its check."""

deselected = pytest.StashKey[set[str]]()
"""The ids of the checks that the command line left out."""


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember what was left out on purpose, so that it doesn't count as missing."""
    for item in items:
        item.config.stash.setdefault(deselected, set()).add(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Turn a skipped check into a failed one."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and hasattr(getattr(item, "cls", None), MARK):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.name} was skipped. A conformance check runs, or its failure is expected with "
            f"a reason: expected_failures = {{check: reason}}"
        )
    return report
